"""`cache_page`: pages that are never older than their data, and never somebody else's."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import timedelta
from functools import partial, wraps
from time import sleep
from typing import Any, TypeVar
from urllib.parse import unquote

from asgiref.sync import async_to_sync, iscoroutinefunction, sync_to_async
from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import NoReverseMatch, get_script_prefix, reverse

from cache_invalidation.conf import settings
from cache_invalidation.reads.read import DEFAULT, Default
from cache_invalidation.reads.steps import awalk
from cache_invalidation.surfaces.pages.options import Options
from cache_invalidation.surfaces.pages.views import NEEDS_MIDDLEWARE, names_called, names_of
from cache_invalidation.surfaces.pages.visits import Visit
from cache_invalidation.tags import page_tag
from cache_invalidation.writes.invalidate import invalidate

V = TypeVar("V", bound=Callable[..., HttpResponseBase | Awaitable[HttpResponseBase]])


def cache_page(
    timeout: float | timedelta | Default | None = DEFAULT,
    *,
    cache: str | None = None,
    key_prefix: str | None = None,
    vary_on: Mapping[str, Callable[[Any], Any]] | None = None,
    lock: bool = False,
    statuses: Collection[int] = (200,),
    near: bool = False,
) -> Callable[[V], V]:
    """Keep the pages of a view until something changes that they were made from.

    In the place of Django's decorator of this name, for functions, coroutines and methods of
    class-based views, in ``urls.py`` as well. ``CachePageMiddleware`` has to be in ``MIDDLEWARE``,
    as the first.

    A page depends on whatever the view reads from the databases, and has an entry for each value of
    what it looks at of the request: parameters, cookies, headers, the user. What is made for one
    visit, such as messages or a CSRF token, keeps it from being stored. Whatever is around this
    decorator, such as `login_required`, runs for each request.

    `timeout` is in seconds or a `timedelta`, None for "until invalidated", ``DEFAULT_TIMEOUT`` if
    left out. ``vary_on={"user": function}`` makes a page for each value of ``function(user)`` and
    not for each user; a page that then reads more of the user is not stored. With `lock`, one
    request computes a page and the others wait for it, up to ``LOCK_TIMEOUT``. Only responses with
    one of `statuses` are stored. With `near`, each process keeps pages in its own memory as well,
    and writers wait for it, as for `cached`. `cache` may only name the cache of
    ``CACHE_INVALIDATION``.

    Raises `TypeError` or `ValueError` for options and views that cannot work, and
    `ImproperlyConfigured` for another cache.
    """
    if cache is not None and cache != settings.CACHE:
        raise ImproperlyConfigured(
            f"cache_page(cache={cache!r}): pages are kept in the cache that CACHE_INVALIDATION "
            f"names, which is {settings.CACHE!r}. Leave the argument out."
        )
    options = Options.checked("cache_page", timeout, key_prefix, vary_on, lock, statuses, near)

    def decorate(view: Any) -> Any:
        if isinstance(view, type):
            raise TypeError(
                f"cache_page decorates functions, and {view.__qualname__} is a class: write "
                '@method_decorator(cache_page(…), name="dispatch"); for a view of REST framework, '
                "CachedResponseMixin."
            )
        return _coroutine(view, options) if iscoroutinefunction(view) else _function(view, options)

    return decorate


def invalidate_page(page: str | Callable[..., Any], /, *args: Any, **kwargs: Any) -> None:
    """Make the pages at a path, or of a view, stale: at COMMIT inside a transaction, else at once.

    `page` is a path, such as ``"/products/3/"``, and then all pages there are, whatever their
    parameters and for whomever they are. It may be as `reverse` and ``request.get_full_path()``
    spell it. Or it is a view, function or class, or the name of a URL, with the arguments of that
    URL; a view without arguments stands for all of its pages, or responses, and so does its dotted
    name, such as ``"shop.views.products"``.

    Raises `NoReverseMatch` if no URL and no view is like that.
    """
    if isinstance(page, str) and page.startswith("/"):
        names = _spellings(page)
    elif callable(page) and not (args or kwargs):
        names = names_of(page)
    else:
        names = _names_reversed(page, args, kwargs)
    invalidate(tags=[page_tag(name) for name in names])


def _names_reversed(page: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> set[str]:
    try:
        return _spellings(reverse(page, args=args or None, kwargs=kwargs or None))
    except NoReverseMatch as error:
        # A URL may be called like anything, so it comes first; and by now all views are loaded.
        is_name = isinstance(page, str) and not (args or kwargs)
        if is_name and (names := names_called(page)):
            return names
        raise NoReverseMatch(
            f"{error} invalidate_page() takes a path, such as '/products/3/', a view or its dotted "
            "name, or the name of a URL with the arguments of that."
        ) from error


def _spellings(url: str) -> set[str]:
    """Return what may be the path of the requests for `url`: decoded, below the script prefix."""
    # A decoded path may have any character, so that each reading of it is a possible one.
    bare = url.partition("?")[0]
    found = {url, bare, unquote(bare)}
    prefix = get_script_prefix()
    below = {path.removeprefix(prefix) for path in found if path.startswith(prefix)}
    return found | {f"/{path}" for path in below}


def _function(view: Callable[..., Any], options: Options) -> Any:
    @wraps(view)
    def cached_view(request: HttpRequest, /, *args: Any, **kwargs: Any) -> Any:
        visit = Visit.of(request, view, (args, kwargs), options)
        if visit is None:
            return view(request, *args, **kwargs)
        for pause in visit.attempt():
            sleep(pause)
        if visit.read.is_hit:
            return visit.answer(partial(view, request, *args, **kwargs))
        with visit.computing():
            response = view(request, *args, **kwargs)
        return visit.take(response)

    setattr(cached_view, NEEDS_MIDDLEWARE, True)
    return cached_view


def _coroutine(view: Callable[..., Awaitable[Any]], options: Options) -> Any:
    @wraps(view)
    async def cached_view(request: HttpRequest, /, *args: Any, **kwargs: Any) -> Any:
        visit = await sync_to_async(Visit.of)(request, view, (args, kwargs), options)
        if visit is None:
            return await view(request, *args, **kwargs)
        await awalk(visit.attempt())
        if visit.read.is_hit:
            return visit.answer(partial(async_to_sync(view), request, *args, **kwargs))
        with visit.computing():
            response = await view(request, *args, **kwargs)
        return visit.take(response)

    setattr(cached_view, NEEDS_MIDDLEWARE, True)
    return cached_view
