"""Pages that are decorated with `cache_page`, and the middleware that they need."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any, Final

from django.conf import settings as django_settings
from django.core.checks import Error, Warning
from django.urls import URLPattern, URLResolver, get_resolver
from django.utils.module_loading import import_string

from cache_invalidation.checks.project import import_urls
from cache_invalidation.checks.registering import Messages, register
from cache_invalidation.middleware import CachePageMiddleware
from cache_invalidation.surfaces.pages.visits import NEEDS_MIDDLEWARE

_NAME: Final = f"{CachePageMiddleware.__module__}.{CachePageMiddleware.__qualname__}"


@register()
def check_page_middleware(**kwargs: Any) -> Messages:
    """E017 and W025: pages that are never stored, or are stored before everybody had a say."""
    import_urls()
    found = [_is_ours(path) for path in django_settings.MIDDLEWARE]
    if not any(found) and any(map(_needs_it, _views())):
        yield Error(
            "Views are decorated with cache_page, and the middleware that stores their pages is "
            "not there, so that none is cached.",
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
    kind = getattr(view, "view_class", getattr(view, "cls", None))
    methods = [getattr(kind, name, None) for name in ("dispatch", "get", "list", "retrieve")]
    return any(getattr(each, NEEDS_MIDDLEWARE, False) for each in (view, kind, *methods))


def _is_ours(path: str) -> bool:
    try:
        kind = import_string(path)
    except ImportError:
        return False  # Django says so.
    return isinstance(kind, type) and issubclass(kind, CachePageMiddleware)
