"""How an entry is laid out in bytes."""

from typing import Final

from cache_invalidation.stores.messages import SALT, Entry, Filling, traces

# An entry: its kind, its seal; the length of its further tags and these, if it is of the second
# kind; the number of its traces and these; its value; its salt, if it is of the last two kinds.
PLAIN: Final = 3
WITH_TAGS: Final = 4
SALTED: Final = 2  # more
KINDS: Final = bytes((PLAIN, WITH_TAGS, PLAIN + SALTED, WITH_TAGS + SALTED))


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
            end = 14 + raw[13]
            return Entry(raw[1:13], (), raw[end:last], raw[14:end], mark, salt)
        begin = 18 + int.from_bytes(raw[13:17])
        end = begin + raw[begin - 1]
    except IndexError:
        return None
    further = tuple(raw[17 : begin - 1].decode(errors="replace").split("\n"))
    return Entry(raw[1:13], further, raw[end:last], raw[begin:end], mark, salt)
