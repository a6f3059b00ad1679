"""The same read as a function, a page, a block of a template and a response, as clients get it.

Nothing is between a client and the view but the middleware, so there can be many of them.
"""

import json
from collections.abc import Callable
from contextvars import ContextVar
from itertools import count
from typing import Any, Final

from django.http import HttpRequest, HttpResponse
from django.template import Context, Engine, Library
from django.test import RequestFactory
from django.utils.safestring import mark_safe
from rest_framework.decorators import api_view, authentication_classes, renderer_classes
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

from cache_invalidation import cached, invalidate
from cache_invalidation.middleware import CachePageMiddleware
from cache_invalidation.rest import cached_response
from cache_invalidation.surfaces.pages.stored import ENOUGH
from cache_invalidation.tags import block_tags
from cache_invalidation.views import cache_page, invalidate_page
from tests.surfaces.by_hand import GLOBS, READ_BEFORE, TRACKED, asked_by_hand

Compute = Callable[..., Any]

FUNCTION: Final = "function"
PAGE: Final = "page"
HELD: Final = "page that the client has"
BLOCK: Final = "block"
RESPONSE: Final = "response"
HELD_RESPONSE: Final = "response that the client has"
#: What can be in the place of a function.
SURFACES: Final = [PAGE, HELD, BLOCK, RESPONSE, HELD_RESPONSE]
KINDS: Final = [FUNCTION, *SURFACES]

#: What JSON may have at its end, more than what is looked up at once.
LONG: Final = " " * 3 * ENOUGH

register = Library()

# What the view, the tag or the function of this call reads.
_compute: ContextVar[Compute] = ContextVar("_compute")

_numbers = count()


class Asked:
    """What `compute` returns, cached as one kind of thing, under a name of its own.

    Two with one name share what is cached. `compute` has to return what JSON has, and `runs` counts
    how often something was made of that: a call that does not raise the count was a hit.
    """

    def __init__(self, kind: str, compute: Compute, name: str = "") -> None:
        self.kind = kind
        self.name = name or f"asked {next(_numbers)}"
        self.compute = compute
        self.runs = 0
        self._ask = self._ask_by_hand() if kind in TRACKED else _ask_for(kind, self.name)

    def _ask_by_hand(self) -> Compute:
        return asked_by_hand(self.kind, self.name, lambda *args: self.compute(*args), self._count)

    def __call__(self, *args: Any) -> Any:
        token = _compute.set(self._run)
        try:
            return self._ask(*args)
        finally:
            _compute.reset(token)

    def _run(self, *args: Any) -> Any:
        self._count()
        return self.compute(*args)

    def _count(self) -> None:
        self.runs += 1

    def prepare(self, *args: Any) -> None:
        """Have done what comes before the first call that may store something.

        What was read before a key was asked for may be in a value if the versions had been seen.
        """
        if self.kind == READ_BEFORE:
            self(*args)

    def fill(self, *args: Any) -> None:
        """Have it cached, if it can be."""
        self.prepare(*args)
        self(*args)

    def truth(self, *args: Any) -> Any:
        """Return what there is to be read now."""
        return json.loads(json.dumps(self.compute(*args)))

    def is_hit(self, *args: Any) -> bool:
        """Ask, and tell whether nothing had to be computed for that."""
        before = self.runs
        self(*args)
        return self.runs == before

    def forget(self, *args: Any) -> None:
        """Have this computed anew, whatever the kind, and perhaps more."""
        if self.kind in TRACKED:
            invalidate(patterns=GLOBS)
            return
        invalidate_page(f"/{self.name}/")
        invalidate(tags=block_tags("asked", ""))
        if isinstance(self._ask, _Function):
            self._ask.call.invalidate(*args)


def served(view: Compute, path: str, *args: Any, etag: str = "", **kwargs: Any) -> HttpResponse:
    """Return what a client gets of a view; it may have what `etag` is the tag of."""

    def rendered(request: HttpRequest) -> Any:
        response = view(request, *args, **kwargs)
        return response if getattr(response, "is_rendered", True) else response.render()

    request = RequestFactory().get(path, headers={"If-None-Match": etag} if etag else None)
    middleware: Any = CachePageMiddleware(rendered)
    response: HttpResponse = middleware(request)
    return response


def _ask_for(kind: str, name: str) -> Compute:
    if kind == FUNCTION:
        return _Function(name)
    if kind == BLOCK:
        return _Block(name)
    view = _page if kind in (PAGE, HELD) else _response
    if kind in (PAGE, RESPONSE):
        return _Client(view, f"/{name}/")
    return _ClientThatKeeps(view, f"/{name}/")


class _Function:
    def __init__(self, name: str) -> None:
        self.call = cached(timeout=300, name=name)(_read)

    def __call__(self, *args: Any) -> Any:
        return json.loads(json.dumps(self.call(*args)))


class _Client:
    def __init__(self, view: Compute, path: str) -> None:
        self._view = view
        self._path = path

    def __call__(self, *args: Any) -> Any:
        return json.loads(served(self._view, self._path, "", *args).content)


class _ClientThatKeeps(_Client):
    """Keeps what it got, and asks each time whether that still holds.

    What it gets is so long that it is not looked up along with its tag.
    """

    def __init__(self, view: Compute, path: str) -> None:
        super().__init__(view, path)
        self._held: dict[Any, tuple[str, bytes]] = {}

    def __call__(self, *args: Any) -> Any:
        etag, body = self._held.get(args, ("", b""))
        response = served(self._view, self._path, LONG, *args, etag=etag)
        if response.status_code != 304:
            body = response.content
            # What has no tag leaves it with what it had before, and with the tag of that.
            if "ETag" in response.headers:
                self._held[args] = response.headers["ETag"], body
        return json.loads(body)


class _Block:
    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self, *args: Any) -> Any:
        context = Context({"name": self._name, "args": args})
        return json.loads(_engine.get_template("asked").render(context))


def _read(*args: Any) -> Any:
    return _compute.get()(*args)


@cache_page(300)
def _page(request: HttpRequest, further: str, *args: Any) -> HttpResponse:
    return HttpResponse(json.dumps(_read(*args)) + further)


class _Renderer(JSONRenderer):
    def render(self, data: Any, *args: Any, **kwargs: Any) -> bytes:
        """Return what was read, and what comes after it."""
        value, further = data
        rendered: bytes = super().render(value, *args, **kwargs)
        return rendered + bytes(further, "ascii")


@api_view(["GET"])
@authentication_classes([])
@renderer_classes([_Renderer])
@cached_response(300)
def _response(request: Any, further: str, *args: Any) -> Response:
    return Response([_read(*args), further])


@register.simple_tag
def read(args: Any) -> str:
    """Show what the block reads."""
    return mark_safe(json.dumps(_read(*args)))


_BLOCK: Final = "{% cached 300 asked name %}{% read args %}{% endcached %}"
_engine: Final = Engine(
    loaders=[
        (
            "django.template.loaders.cached.Loader",
            [("django.template.loaders.locmem.Loader", {"asked": _BLOCK})],
        )
    ],
    builtins=["cache_invalidation.templatetags.cache_invalidation", __name__],
)
