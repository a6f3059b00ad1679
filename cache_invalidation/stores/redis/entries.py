"""How an entry is laid out in bytes."""

from collections.abc import Sequence
from typing import Final

from cache_invalidation.stores.base import Entry, Versions, seal

# An entry: its kind, its seal; the length of its further tags and these, if it is of the second
# kind; its value.
PLAIN: Final = b"\x01"
WITH_TAGS: Final = b"\x02"


def pack(payload: bytes, versions: Versions, further: Sequence[str]) -> bytes:
    """Return an entry whose value is `payload`."""
    if not further:
        return b"".join((PLAIN, seal(versions), payload))
    tags = "\n".join(further).encode()
    return b"".join((WITH_TAGS, seal(versions), len(tags).to_bytes(4), tags, payload))


def unpack(raw: bytes) -> Entry:
    """Return what `pack` was given."""
    if raw[:1] == PLAIN:
        return Entry(raw[1:13], (), raw[13:])
    end = 17 + int.from_bytes(raw[13:17])
    return Entry(raw[1:13], tuple(raw[17:end].decode(errors="replace").split("\n")), raw[end:])
