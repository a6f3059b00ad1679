"""Pages that are decorated with `cache_page`, and the middleware that they need."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from difflib import get_close_matches
from itertools import chain
from typing import Any, Final

from django.conf import settings as django_settings
from django.core.checks import Error, Info, Warning
from django.middleware.cache import CacheMiddleware, UpdateCacheMiddleware
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.module_loading import import_string

from cache_invalidation.checks.cache import store
from cache_invalidation.checks.project import import_urls
from cache_invalidation.checks.registering import Messages, register
from cache_invalidation.middleware import CachePageMiddleware
from cache_invalidation.reads.spelling import full_name
from cache_invalidation.surfaces.pages.views import NEEDS_MIDDLEWARE, name_of

_NAME: Final = f"{CachePageMiddleware.__module__}.{CachePageMiddleware.__qualname__}"
_DEEPEST: Final = 10  # decorators around one another
_SHOWN: Final = 5
_OPTIONS: Final = "cache_"  # what those of the mixin for REST begin with
_CLOSE: Final = 0.8  # of letters that are the same


@register()
def check_page_middleware(**kwargs: Any) -> Messages:
    """E017 and W025: pages that are never stored, or are stored before everybody had a say."""
    import_urls()
    found = [_is_ours(path) for path in django_settings.MIDDLEWARE]
    if not any(found) and any(map(_needs_it, _views())):
        yield Error(
            "Views have cache_page, cached_response or CachedResponseMixin, and the middleware "
            "that stores what they return is missing, so nothing is cached.",
            hint=f"Put {_NAME!r} first in MIDDLEWARE.",
            id="cache_invalidation.E017",
        )
    if any(found) and not found[0]:
        yield Warning(
            f"{_NAME} is not the first in MIDDLEWARE. What is before it may still forbid that a "
            "page is kept, or change it, and is not asked.",
            hint="Put it first.",
            id="cache_invalidation.W025",
        )


@register()
def check_pages_of_django(**kwargs: Any) -> Messages:
    """W014 and I005: pages that Django caches, and does not drop, or not know for whom they are."""
    import_urls()
    found = [path for path in django_settings.MIDDLEWARE if _is_a(UpdateCacheMiddleware, path)]
    found += sorted({name_of(view) for view in _views() if _is_cached_by_django(view)})
    if found:
        shown = ", ".join(found[:_SHOWN]) + (" and others" if found[_SHOWN:] else "")
        tracking = getattr(store(), "tracking", None)
        if tracking is not None and tracking.glob_of("views.decorators.cache.cache_page.x"):
            yield Info(
                f"Django caches pages by {shown}. They are dropped when what they show is written, "
                "and it is their Vary headers alone that say for whom they are.",
                hint="cache_invalidation.views.cache_page finds that out as well.",
                id="cache_invalidation.I005",
            )
            return
        yield Warning(
            f"Django caches pages by {shown}. They are not invalidated, and are up to "
            f"CACHE_MIDDLEWARE_SECONDS ({django_settings.CACHE_MIDDLEWARE_SECONDS}), or the "
            "timeout of the decorator, old.",
            hint="Decorate views with cache_invalidation.views.cache_page instead, or track "
            "'views.decorators.cache.*' by a BACKEND of cache_invalidation.backends. Silence this "
            "check if pages may be that old.",
            id="cache_invalidation.W014",
        )


@register()
def check_options_of_responses(**kwargs: Any) -> Messages:
    """W026: options of `CachedResponseMixin` that are misspelled, and so do nothing."""
    import_urls()
    lines = (getattr(getattr(view, "cls", None), "__mro__", ()) for view in _views())
    for kind in dict.fromkeys(chain.from_iterable(lines)):
        for name, meant in _misspelled(kind):
            yield Warning(
                f"{full_name(kind)}.{name} is no option of CachedResponseMixin, and does nothing.",
                hint=f"Did you mean {meant}?",
                obj=kind,
                id="cache_invalidation.W026",
            )


def _misspelled(kind: type) -> Iterator[tuple[str, str]]:
    """Yield what a class calls nearly like an option of the mixin that it has, and the option."""
    # It is not imported to be compared with: that needs REST framework.
    mixin = next((each for each in kind.__mro__ if NEEDS_MIDDLEWARE in vars(each)), kind)
    options = [name for name in vars(mixin) if name.startswith(_OPTIONS)]
    own = vars(kind) if kind is not mixin else {}
    for name in own.keys() - options:
        if meant := get_close_matches(name, options, 1, _CLOSE):
            yield name, meant[0]


def _is_cached_by_django(view: Any) -> bool:
    return any(_holds(each, CacheMiddleware, _DEEPEST) for each in (view, *_parts(view)))


def _holds(found: Any, kind: type, depth: int) -> bool:
    """Whether a function is made of something of a class, however many decorators are around it."""
    if isinstance(found, kind) or found is kind:
        return True
    if depth == 0:
        return False
    inner: list[Any] = list(found) if isinstance(found, list | tuple) else []
    for cell in getattr(found, "__closure__", None) or ():
        with suppress(ValueError):  # Nothing was assigned to the name yet.
            inner.append(cell.cell_contents)
    return any(_holds(each, kind, depth - 1) for each in inner)


def _views() -> Iterator[Any]:
    with suppress(Exception):  # Django's own checks say what is wrong with the URLs.
        yield from _views_of(get_resolver().url_patterns)


def _views_of(patterns: Iterable[URLPattern | URLResolver]) -> Iterator[Any]:
    for pattern in patterns:
        if isinstance(pattern, URLResolver):
            yield from _views_of(pattern.url_patterns)
        else:
            yield pattern.callback


def _needs_it(view: Any) -> bool:
    """Whether a view, its class or one of its methods is decorated, or has the mixin for REST."""
    return any(getattr(each, NEEDS_MIDDLEWARE, False) for each in (view, *_parts(view)))


def _parts(view: Any) -> Iterator[Any]:
    """Yield the class of a view, if it has one, and its methods."""
    kind = getattr(view, "view_class", getattr(view, "cls", None))
    for each in getattr(kind, "__mro__", ()):
        yield from (each, *vars(each).values())


def _is_ours(path: str) -> bool:
    return _is_a(CachePageMiddleware, path)


def _is_a(kind: type, path: str) -> bool:
    try:
        found = import_string(path)
    except ImportError:
        return False  # Django says so.
    return isinstance(found, type) and issubclass(found, kind)
