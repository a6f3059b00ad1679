"""Pages that are decorated with `cache_page`, and the middleware that they need."""

from typing import Any

from django.conf import settings as django_settings
from django.core.checks import Error, Warning
from django.utils.module_loading import import_string

from cache_invalidation.checks.project import import_urls
from cache_invalidation.checks.registering import Messages, register
from cache_invalidation.middleware import CachePageMiddleware
from cache_invalidation.views import is_used

_NAME = f"{CachePageMiddleware.__module__}.{CachePageMiddleware.__qualname__}"


@register()
def check_page_middleware(**kwargs: Any) -> Messages:
    """E017 and W025: pages that are never stored, or are stored before everybody had a say."""
    import_urls()
    found = [_is_ours(path) for path in django_settings.MIDDLEWARE]
    if is_used() and not any(found):
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


def _is_ours(path: str) -> bool:
    try:
        kind = import_string(path)
    except ImportError:
        return False  # Django says so.
    return isinstance(kind, type) and issubclass(kind, CachePageMiddleware)
