"""How what surfaces keep is laid out in bytes, whatever the serializer of the cache can take.

What it is, the length of what is known about it, that as JSON, and then the rest: so the beginning
says all but the content.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from cache_invalidation.stores.base import Store
from cache_invalidation.surfaces.inputs.trail import Step

STEP: Final = b"\x00ci step"


@dataclass(frozen=True, slots=True)
class Truncated:
    """What is in the place of a value of which too little came to tell anything."""


@dataclass(frozen=True, slots=True)
class Framed:
    """The codec of one kind of values, and of the steps that lead to them; see `Codec`.

    `pack` returns what there is to know about a value, None for nothing, and its content; `unpack`
    takes both. The content may be shorter than it was.
    """

    kind: bytes
    pack: Callable[[Any], tuple[Any, bytes]]
    unpack: Callable[[Any, bytes], Any]

    def encode(self, value: Any, store: Store) -> bytes:
        """Return a value, or a `Step`, as `decode` takes it."""
        kind = STEP if isinstance(value, Step) else self.kind
        about, content = (value.names, b"") if isinstance(value, Step) else self.pack(value)
        head = b"" if about is None else json.dumps(about).encode()
        return b"".join((kind, len(head).to_bytes(4), head, content))

    def decode(self, payload: Any, store: Store) -> Any:
        """Return what `encode` was given, or `Truncated`; raise `ValueError` for what it is not."""
        for kind in (self.kind, STEP):
            if isinstance(payload, bytes) and payload.startswith(kind):
                begin = len(kind) + 4
                end = begin + int.from_bytes(payload[len(kind) : begin])
                if len(payload) < end:
                    return Truncated()
                about: Any = json.loads(payload[begin:end]) if end > begin else None
                return Step(tuple(about)) if kind == STEP else self.unpack(about, payload[end:])
        raise ValueError("it is nothing that is kept here")
