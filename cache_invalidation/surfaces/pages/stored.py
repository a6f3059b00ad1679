"""Pages as they are kept in the cache."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from hashlib import blake2b
from typing import Any, Final

from django.http import HttpResponse, HttpResponseNotModified

from cache_invalidation.surfaces.framing import Framed

#: Bytes that are enough for all but the body of most pages.
ENOUGH: Final = 4096

# Of the headers of a page, what goes along with a 304, by section 15.4.5 of RFC 9110.
_KEPT: Final = ("Cache-Control", "Content-Location", "Expires", "Last-Modified", "Vary")

Scalar = str | int | bool | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A response as a view returned it. `body` is None if only the rest was asked for."""

    status: int
    reason: str | None
    charset: str | None
    etag: str
    headers: list[list[str]]
    length: int  # bytes of the body
    # What the view and its decorators have put on the response for the middlewares to see.
    attributes: Mapping[str, Scalar] = field(default_factory=dict)
    body: bytes | None = None

    def not_modified(self) -> HttpResponseNotModified:
        """Return a response which says that it is what the client has."""
        made = HttpResponseNotModified()
        for name, value in self.headers:
            if name in _KEPT:
                made.headers[name] = value
        made.headers["ETag"] = self.etag
        return made

    def response(self) -> HttpResponse:
        """Return a new response that is the same."""
        made = HttpResponse(self.body or b"", status=self.status, reason=self.reason)
        made._charset = self.charset  # type: ignore[attr-defined]
        del made.headers["Content-Type"]
        for name, value in self.headers:
            made.headers[name] = value
        vars(made).update(self.attributes)
        return made


def etag_of(body: bytes, headers: list[list[str]]) -> str:
    """Return a strong entity tag: the same for the same page, and for no other.

    Headers are a part of it, such as one that says how many pages there are, but for those that a
    304 brings along.
    """
    told = json.dumps(sorted(each for each in headers if each[0] not in _KEPT)).encode()
    return f'"{urlsafe_b64encode(blake2b(told + body, digest_size=15).digest()).decode()}"'


def _pack(page: Page) -> tuple[Any, bytes]:
    about = asdict(page)
    return about, about.pop("body")


def _unpack(about: Any, body: bytes) -> Page:
    try:
        return Page(**about, body=body if len(body) == about["length"] else None)
    except (TypeError, KeyError) as error:
        raise ValueError(f"unreadable page: {error}") from error


#: How pages are kept. One that is not all there comes back without its body.
CODEC: Final = Framed(b"\x00ci page", _pack, _unpack)
