"""May this response be stored, and if not, why not."""

import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Any, Final

from django.http.response import HttpResponseBase

from cache_invalidation.surfaces.pages.stored import Kept, kind_of

#: Reasons, as they are counted and shown; others are those of `Inputs` and of `keeping`.
REASONS: Final[Mapping[str, str]] = {
    "method": "only GET is stored",
    "streaming": "its content is streamed",
    "status": "its status is not one of those that are stored",
    "set-cookie": "the view sets a cookie",
    "cache-control": "Cache-Control forbids it",
    "vary": "Vary is *",
    "replaced": "a middleware returned another response",
    "template": "a middleware changed the response before it was rendered",
    "language": "the view leaves another language or time zone in force",
    "response": "the view puts more on its response than can be kept",
}

_FORBIDDING: Final = frozenset({"private", "no-store", "no-cache"})

# What Django, its test client and REST framework keep on a response for themselves.
_OWN: Final = frozenset(
    {
        *(
            "headers",
            "_charset",
            "_resource_closers",
            "_handler_class",
            "cookies",
            "closed",
            "_iterator",
            "is_async",
        ),
        *("_reason_phrase", "status_code", "_container", "text", "template_name", "context_data"),
        *("using", "_post_render_callbacks", "_request", "_is_rendered", "render", "content_type"),
        *("data", "exception", "accepted_renderer", "accepted_media_type", "renderer_context"),
        *("request", "client", "templates", "context", "json", "resolver_match"),
    }
)


_FRAMEWORKS: Final = ("django.", "rest_framework.", "builtins")


def directives(header: str) -> set[str]:
    """Return the names of the directives of a ``Cache-Control`` header, in lower case."""
    return {part.partition("=")[0].rstrip() for part in listed(header)}


def listed(header: str) -> set[str]:
    """Return what a header lists, without blanks and in lower case."""
    return {part.strip().lower() for part in header.split(",")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """What of a response decides; as the view returned it, or the outermost middleware."""

    status: int
    headers: Mapping[str, str]
    sets_cookie: bool
    is_streaming: bool
    attributes: Mapping[str, Kept] | None

    @classmethod
    def of(cls, response: HttpResponseBase) -> "Shown":
        """Return what `response` shows now, whatever becomes of it."""
        return cls(
            status=response.status_code,
            headers={name.lower(): str(value) for name, value in response.items()},
            sets_cookie=bool(response.cookies) or response.has_header("Set-Cookie"),
            is_streaming=response.streaming,
            attributes=attributes(response),
        )

    def forbids(self) -> bool:
        """Whether somebody has said in ``Cache-Control`` that it must not be kept."""
        return bool(directives(self.headers.get("cache-control", "")) & _FORBIDDING)

    def varies_with_everything(self) -> bool:
        """Whether ``Vary`` is ``*``."""
        return "*" in listed(self.headers.get("vary", ""))


def why_not(
    method: str | None,
    refusals: Mapping[str, str],
    view: Shown | None,
    final: Shown | None,
    statuses: Collection[int] = (200,),
) -> dict[str, str]:
    """Return why a page must not be stored, by short names; nothing if it may be.

    `refusals` are those of what the view has looked at. `view` is what it has returned, None if
    that never was a response with a content; `final` what the outermost middleware returns, None
    if that is another response.
    """
    found = dict(refusals)
    kinds = ["method"] if method != "GET" else []
    if view is None or final is None:
        kinds.append("replaced")
    else:
        kinds += [kind for kind, holds in _FORBIDDEN.items() if holds(view, final)]
        kinds += ["status"] if view.status not in statuses else []
    return found | {kind: REASONS[kind] for kind in kinds}


# What middlewares put on a response, such as their cookies, they put on that of a hit as well.
_FORBIDDEN: Final[Mapping[str, Callable[[Shown, Shown], bool]]] = {
    "streaming": lambda view, final: view.is_streaming,
    "set-cookie": lambda view, final: view.sets_cookie,
    "cache-control": lambda view, final: view.forbids() or final.forbids(),
    "vary": lambda view, final: view.varies_with_everything() or final.varies_with_everything(),
    "response": lambda view, final: view.attributes is None,
}


def attributes(response: HttpResponseBase) -> dict[str, Kept] | None:
    """Return what was put on a response, such as ``xframe_options_exempt``; None if it is more.

    By somebody or by its class. More is what is neither a plain value nor made of these, as the
    configuration of a Content-Security-Policy is. It is a copy, for others may change it.
    """
    # Of the next it is said by the class, if that has the same.
    kind: Any = type(response)
    said = {} if kind_of(response) else _of_class(kind)
    put: dict[str, Any] = {
        name: value
        for name, value in {**said, **vars(response)}.items()
        if name not in _OWN and not name.startswith("_cache_invalidation")
    }
    if not _can_be_kept(put):
        return None
    copied: dict[str, Kept] = json.loads(json.dumps(put)) if put else {}
    return copied


def _can_be_kept(value: Any) -> bool:
    kind = type(value)
    if kind is dict:
        return all(type(name) is str and _can_be_kept(held) for name, held in value.items())
    if kind is list:
        return all(map(_can_be_kept, value))
    return kind in (str, int, bool, type(None)) or issubclass(kind, StrEnum)


@lru_cache(maxsize=1000)
def _of_class(kind: type) -> dict[str, Any]:
    """Return what a class that is not of a framework says of its responses, methods apart."""
    return {
        name: value
        for each in reversed(kind.__mro__)
        if not each.__module__.startswith(_FRAMEWORKS)
        for name, value in vars(each).items()
        if not (name.startswith("__") or hasattr(value, "__get__"))
    }
