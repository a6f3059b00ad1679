"""Pages as they are kept in the cache."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from functools import lru_cache
from importlib import import_module
from inspect import getattr_static
from operator import attrgetter
from typing import Any, Final

from django.http import HttpResponse
from django.http.response import HttpResponseBase

from cache_invalidation.reads.etags import strong_etag
from cache_invalidation.reads.spelling import is_found_by_name
from cache_invalidation.surfaces.framing import Framed

#: Bytes that are enough for all but the body of most pages.
ENOUGH: Final = 4096

# Of the headers of a page, what goes along with a 304, by section 15.4.5 of RFC 9110.
_KEPT: Final = ("Cache-Control", "Content-Location", "Expires", "Last-Modified", "Vary")

# Of a subclass, the name of the class of the response that it stands for.
_KIND: Final = "_cache_invalidation_kind"

#: What can be put on a response: a plain value, or a list or dictionary of these.
Kept = Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """A response as a view returned it. `body` is None if only the rest was asked for."""

    status: int
    reason: str | None
    charset: str | None
    etag: str
    headers: list[list[str]]
    length: int  # bytes of the body
    kind: str = ""  # the class of the response, if it is another than Django's simplest
    # What the view and its decorators have put on the response for the middlewares to see.
    attributes: Mapping[str, Kept] = field(default_factory=dict)
    body: bytes | None = None

    def response(self, fetch: Callable[[], bytes] | None = None) -> HttpResponse:
        """Return a new response that is the same; `fetch` returns its body, if that is not here."""
        made = Unread() if fetch else HttpResponse(self.body or b"")
        made.__class__ = _made_like(type(made), self.kind) if self.kind else type(made)
        made.status_code = self.status
        self.dress(made)
        if fetch and isinstance(made, Unread):
            made.unread(fetch, self.length)
        return made

    def dress(self, made: Any) -> None:
        """Give the new response `made` all of this one but for its status and its body."""
        if self.reason is not None:
            made.reason_phrase = self.reason
        made._charset = self.charset
        del made.headers["Content-Type"]
        for name, value in self.headers:
            made.headers[name] = value
        vars(made).update(self.attributes)


class Unread(HttpResponse):
    """The response of a page whose body is fetched as soon as somebody looks at it.

    So middlewares see what they see of any page, though the client has it already.
    """

    _fetch: Callable[[], bytes] | None = None
    _length = ""

    def unread(self, fetch: Callable[[], bytes], length: int) -> None:
        """Have the body fetched when somebody looks at it, and say already how long it is."""
        # So nobody has to look at it for that.
        if not self.has_header("Content-Length"):
            self.headers["Content-Length"] = self._length = str(length)
        self._fetch = fetch

    @property
    def is_unread(self) -> bool:
        """Whether nobody has looked at the body, nor changed it."""
        return self._fetch is not None

    # Where Django keeps the body of a response, whoever reads or writes it.
    @property
    def _container(self) -> list[bytes]:
        if self._fetch is not None:
            self._container = [self._fetch()]
        return self._body

    @_container.setter
    def _container(self, body: list[bytes]) -> None:
        self._fetch, self._body = None, body
        if self._length and self.headers.get("Content-Length") == self._length:
            del self.headers["Content-Length"]
        self._length = ""

    def __reduce__(self) -> Any:
        """Copy and pickle it as what it stands for."""
        plain = HttpResponse(self.content)
        own = ("_fetch", "_length", "_body")
        vars(plain).update({name: held for name, held in vars(self).items() if name not in own})
        return _made_of, (vars(plain), vars(type(self)).get(_KIND, ""))


def _made_of(held: Mapping[str, Any], kind: str) -> HttpResponse:
    made = HttpResponse()
    made.__class__ = _made_like(HttpResponse, kind) if kind else HttpResponse
    vars(made).update(held)
    return made


def kind_of(response: HttpResponseBase) -> str:
    """Return the name of the class of a response, "" for one that the next can do without.

    Those that are rendered late have what they are rendered from, which is not kept.
    """
    kind = type(response)
    is_kept = (
        kind is not HttpResponse
        and not hasattr(kind, "render")
        and is_found_by_name(kind)
        # It keeps its content as Django does, in the same place.
        and kind.__basicsize__ == HttpResponse.__basicsize__
        and getattr_static(kind, "content") is getattr_static(HttpResponse, "content")
        and not hasattr(kind, "_container")
    )
    return f"{kind.__module__}:{kind.__qualname__}" if is_kept else ""


@lru_cache(maxsize=1000)
def _made_like(base: type[HttpResponse], name: str) -> Any:
    """Return the class of this name, as a subclass of `base`; or `base` if that cannot be."""
    module, _, path = name.partition(":")
    try:
        found: Any = attrgetter(path)(import_module(module))
    except (ImportError, AttributeError):
        return base
    if not (isinstance(found, type) and issubclass(found, HttpResponse)):
        return base
    try:
        made = found if base is HttpResponse else type(found.__name__, (base, found), {_KIND: name})
        base().__class__ = made
    except Exception:  # noqa: BLE001 - the class is the project's own, and may not want it
        return base
    return made


def etag_of(body: bytes, headers: list[list[str]]) -> str:
    """Return a strong entity tag for a page.

    Headers are a part of it, such as one that says how many pages there are, but for those that a
    304 brings along.
    """
    told = json.dumps(sorted(each for each in headers if each[0] not in _KEPT)).encode()
    return strong_etag(told, body)


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
