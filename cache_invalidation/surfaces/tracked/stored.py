"""How values of tracked keys are kept: with a mark if nobody knows what they depend on."""

from dataclasses import dataclass
from typing import Any, Final

from cache_invalidation.reads import values
from cache_invalidation.stores.base import Store

_BLIND: Final = b"?"
_SEALED: Final = b"="


@dataclass(frozen=True, slots=True)
class Blind:
    """A value of which nobody knows what it depends on."""

    value: Any


def encode(value: Any, store: Store) -> bytes:
    """Return `value`, which may be `Blind`, as `decode` takes it. See `Codec`."""
    if isinstance(value, Blind):
        return _BLIND + values.encode(value.value, store)
    return _SEALED + values.encode(value, store)


def decode(payload: Any, store: Store) -> Any:
    """Return what `encode` was given; raise `ValueError` if it is unreadable."""
    value = values.decode(payload[1:], store)
    return Blind(value) if payload[:1] == _BLIND else value
