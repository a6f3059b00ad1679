"""Blocks as they are kept in the cache, whatever its serializer can take."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from django.utils.safestring import SafeString

from cache_invalidation.stores.base import Store
from cache_invalidation.surfaces.inputs.trail import Step

STEP: Final = b"\x00ci step"
BLOCK: Final = b"\x00ci block"

#: Where the length of what a block leaves is, and where it begins.
_HEAD: Final = len(BLOCK) + 4

#: Values that are kept as they are.
PLAIN: Final = (str, SafeString, int, float, bool, type(None))


@dataclass(frozen=True, slots=True)
class Block:
    """What a block was rendered to, and what it leaves for what is rendered after it."""

    text: str
    # Names that it has set, with their values; and those whose values cannot be kept.
    names: Mapping[str, Any] = field(default_factory=dict)
    further: tuple[str, ...] = ()
    # How often each of its cycles, by number, was asked.
    cycles: Mapping[int, int] = field(default_factory=dict)


def encode(value: Any, store: Store) -> bytes:
    """Return a `Block` or a `Step` as `decode` takes it."""
    if isinstance(value, Step):
        return STEP + json.dumps(value.names).encode()
    head = b""
    if value.names or value.further or value.cycles:
        names = [(name, type(held) is SafeString, held) for name, held in value.names.items()]
        head = json.dumps([names, value.further, list(value.cycles.items())]).encode()
    text = value.text.encode(errors="surrogatepass")
    return b"".join((BLOCK, len(head).to_bytes(4), head, text))


def decode(payload: Any, store: Store) -> Any:
    """Return what `encode` was given; raise `ValueError` if it is unreadable."""
    if isinstance(payload, bytes) and payload.startswith(STEP):
        return Step(tuple(json.loads(payload[len(STEP) :])))
    if not (isinstance(payload, bytes) and payload.startswith(BLOCK)):
        raise ValueError("it is neither a block nor a step")
    end = _HEAD + int.from_bytes(payload[len(BLOCK) : _HEAD])
    text = SafeString(payload[end:].decode(errors="surrogatepass"))
    if end == _HEAD:
        return Block(text)
    names, further, cycles = json.loads(payload[_HEAD:end])
    kept = {name: SafeString(held) if is_safe else held for name, is_safe, held in names}
    return Block(text, kept, tuple(further), dict(cycles))
