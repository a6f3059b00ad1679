"""How an entry is laid out in bytes."""

from typing import Final

from cache_invalidation.stores.messages import SALT, Entry, Filling, traces

# An entry: its kind, its seal of 8 bytes; the length of its further tags and these, if it is of the
# second kind; the number of its traces and these; its value; its salt, if of the last two kinds.
# Another layout has other kinds: processes of two releases take each other's entries for none. No
# value of a project begins with such a byte, as serializers and compressors make them (lz4: 4).
PLAIN: Final = 16
WITH_TAGS: Final = 17
SALTED: Final = 2  # more
# Tracked keys as they were laid out when seals had 12 bytes: never valid, and there to be replaced.
FORMER: Final = (5, 6)
KINDS: Final = bytes((PLAIN, WITH_TAGS, PLAIN + SALTED, WITH_TAGS + SALTED, *FORMER))


def pack(filling: Filling) -> bytes:
    """Return an entry as it is stored."""
    traced, salt = traces(filling.versions, filling.nonce), filling.salt.encode()
    rest = (bytes([len(traced)]), traced, filling.payload, salt)
    more = SALTED if salt else 0
    if not filling.further:
        return b"".join((bytes([PLAIN + more]), filling.seal, *rest))
    tags = "\n".join(filling.further).encode()
    head = (bytes([WITH_TAGS + more]), filling.seal, len(tags).to_bytes(4), tags)
    return b"".join((*head, *rest))


def unpack(raw: bytes, mark: str) -> Entry | None:
    """Return what `pack` has made an entry of, for a reader who has found `mark` beside it.

    None for what somebody else has put there.
    """
    try:
        kind, last, salt = raw[0], len(raw), ""
        if kind > WITH_TAGS:
            last -= SALT
            salt = raw[last:].decode(errors="replace")
        if kind == PLAIN or kind == PLAIN + SALTED:
            end = 10 + raw[9]
            return Entry(raw[1:9], (), raw[end:last], raw[10:end], mark, salt)
        if kind in FORMER:
            return Entry(raw[1:9], (), b"", b"", mark)
        begin = 14 + int.from_bytes(raw[9:13])
        end = begin + raw[begin - 1]
    except IndexError:
        return None
    further = tuple(raw[13 : begin - 1].decode(errors="replace").split("\n"))
    return Entry(raw[1:9], further, raw[end:last], raw[begin:end], mark, salt)
