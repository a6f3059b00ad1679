"""How an entry is laid out in bytes."""

from typing import Final

from cache_invalidation.stores.messages import Entry, Filling, seal, traces

# An entry: its kind, its seal; the length of its further tags and these, if it is of the second
# kind; the number of its traces and these; its value.
PLAIN: Final = 3
WITH_TAGS: Final = 4
KINDS: Final = bytes((PLAIN, WITH_TAGS))


def pack(filling: Filling) -> bytes:
    """Return an entry as it is stored."""
    sealed = seal(filling.versions, filling.mark)
    traced = traces(filling.versions, filling.nonce)
    rest = (bytes([len(traced)]), traced, filling.payload)
    if not filling.further:
        return b"".join((bytes([PLAIN]), sealed, *rest))
    tags = "\n".join(filling.further).encode()
    return b"".join((bytes([WITH_TAGS]), sealed, len(tags).to_bytes(4), tags, *rest))


def unpack(raw: bytes, mark: str) -> Entry | None:
    """Return what `pack` has made an entry of, for a reader who has found `mark` beside it.

    None for what somebody else has put there.
    """
    try:
        if raw[0] == PLAIN:
            end = 14 + raw[13]
            return Entry(raw[1:13], (), raw[end:], raw[14:end], mark)
        begin = 18 + int.from_bytes(raw[13:17])
        end = begin + raw[begin - 1]
    except IndexError:
        return None
    further = tuple(raw[17 : begin - 1].decode(errors="replace").split("\n"))
    return Entry(raw[1:13], further, raw[end:], raw[begin:end], mark)
