"""For each request: whether its page may be stored, and one round trip for what it asks for."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final, cast

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from cache_invalidation.reads.profiles import Given
from cache_invalidation.reads.together import Block
from cache_invalidation.surfaces.pages.answers import answered, give_up
from cache_invalidation.surfaces.pages.views import name_of
from cache_invalidation.surfaces.pages.visits import VISITS


class _Middleware:
    """Stands between others, whether they are coroutines or not."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Return the response of those inside."""
        raise NotImplementedError


class CachePageMiddleware(_Middleware):
    """Stores the pages of views that are decorated with `cache_page`.

    It has to be the first in ``MIDDLEWARE``. It also gives such pages an ``ETag``, answers
    conditional requests with 304, and has browsers ask each time, so that what is promised holds
    for them as well.
    """

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Return the response of those inside, as it goes to the client."""
        vars(request)[VISITS] = []
        if self.is_async:
            return self._acall(request)
        try:
            response = self.get_response(request)
        except BaseException:  # Such as that of a worker that is told to stop.
            give_up(request)
            raise
        return answered(request, response)

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        try:
            response: HttpResponseBase = await self.get_response(request)
        except BaseException:  # Such as that of a client that has gone.
            await asyncio.shield(sync_to_async(give_up)(request))
            raise
        return await sync_to_async(answered)(request, response)


class CachedTogetherMiddleware(_Middleware):
    """Has the cached functions that a view asks for looked up in one round trip.

    It does for every view, and the middleware inside of it, what `cached_together` does for one;
    the arguments are those of the URL. Only for GET and HEAD: who writes decides by what is true
    now.
    """

    def __call__(self, request: HttpRequest) -> HttpResponseBase | Awaitable[HttpResponseBase]:
        """Return the response of those inside."""
        if self.is_async:
            return self._acall(request)
        if request.method not in _SAFE:
            return cast(HttpResponseBase, self.get_response(request))
        with Block(partial(_about, request)):
            return cast(HttpResponseBase, self.get_response(request))

    async def _acall(self, request: HttpRequest) -> HttpResponseBase:
        if request.method not in _SAFE:
            return cast(HttpResponseBase, await self.get_response(request))
        with Block(partial(_about, request)):
            return cast(HttpResponseBase, await self.get_response(request))


_SAFE: Final = ("GET", "HEAD")


def _about(request: HttpRequest) -> tuple[str, Given] | None:
    """Return the name of the view, and what it is called with; None until that is known."""
    match = request.resolver_match
    if match is None:
        return None
    args = {str(number): value for number, value in enumerate(match.args)}
    # One view may have several routes, as those of REST framework do for their actions.
    return f"{name_of(match.func)} {match.route}", {**args, **match.kwargs}
