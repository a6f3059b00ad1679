"""How an entry is laid out in bytes."""

from typing import Final

from cache_invalidation.stores.messages import Entry, Filling, seal

# An entry: its kind, its seal; the length of its further tags and these, if it is of the second
# kind; its value.
PLAIN: Final = b"\x01"
WITH_TAGS: Final = b"\x02"


def pack(filling: Filling) -> bytes:
    """Return an entry as it is stored."""
    sealed = seal(filling.versions, filling.mark)
    if not filling.further:
        return b"".join((PLAIN, sealed, filling.payload))
    tags = "\n".join(filling.further).encode()
    return b"".join((WITH_TAGS, sealed, len(tags).to_bytes(4), tags, filling.payload))


def unpack(raw: bytes, mark: str) -> Entry:
    """Return what `pack` has made an entry of, for a reader who has found `mark` beside it."""
    if raw[:1] == PLAIN:
        return Entry(raw[1:13], (), raw[13:], mark)
    end = 17 + int.from_bytes(raw[13:17])
    further = tuple(raw[17:end].decode(errors="replace").split("\n"))
    return Entry(raw[1:13], further, raw[end:], mark)
