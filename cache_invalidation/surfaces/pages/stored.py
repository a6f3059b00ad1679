"""Pages and steps as they are kept in the cache, whatever its serializer can take."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any, Final

from django.http import HttpResponse

from cache_invalidation.stores.base import Store
from cache_invalidation.surfaces.inputs.trail import Step

STEP: Final = b"\x00ci step"
PAGE: Final = b"\x00ci page"

#: Where the length of what is known about a page is, and where it begins.
_HEAD: Final = len(PAGE) + 4

Scalar = str | int | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A response as a view returned it. `body` is None if only the rest was asked for."""

    status: int
    reason: str | None
    charset: str | None
    etag: str
    headers: list[list[str]]
    # What the view and its decorators have put on the response for the middlewares to see.
    attributes: Mapping[str, Scalar] = field(default_factory=dict)
    body: bytes | None = None

    def response(self) -> HttpResponse:
        """Return a new response that is the same."""
        made = HttpResponse(self.body or b"", status=self.status, reason=self.reason)
        made._charset = self.charset  # type: ignore[attr-defined]
        del made.headers["Content-Type"]
        for name, value in self.headers:
            made.headers[name] = value
        vars(made).update(self.attributes)
        return made


def etag_of(body: bytes) -> str:
    """Return a strong entity tag: the same for the same bytes, and for no others."""
    return f'"{urlsafe_b64encode(blake2b(body, digest_size=15).digest()).decode()}"'


def encode(value: Any, store: Store) -> bytes:
    """Return a `Page` or a `Step` as `decode` takes it."""
    if isinstance(value, Step):
        return STEP + json.dumps(value.names).encode()
    about = asdict(value)
    body = about.pop("body")
    head = json.dumps(about).encode()
    return b"".join((PAGE, len(head).to_bytes(4), head, body))


def decode(payload: Any, store: Store) -> Any:
    """Return what `encode` was given; raise `ValueError` if it is unreadable."""
    if isinstance(payload, bytes) and payload.startswith(STEP):
        return Step(tuple(json.loads(payload[len(STEP) :])))
    if not (isinstance(payload, bytes) and payload.startswith(PAGE)):
        raise ValueError("it is neither a page nor a step")
    end = _HEAD + int.from_bytes(payload[len(PAGE) : _HEAD])
    try:
        return Page(**json.loads(payload[_HEAD:end]), body=payload[end:])
    except TypeError as error:
        raise ValueError(f"unreadable page: {error}") from error
