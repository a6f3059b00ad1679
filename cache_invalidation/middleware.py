"""`CachePageMiddleware`: decides, when everybody has had a say, whether a page may be stored."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import iscoroutinefunction, markcoroutinefunction, sync_to_async
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from cache_invalidation.surfaces.pages.answers import answered, give_up
from cache_invalidation.surfaces.pages.visits import VISITS


class CachePageMiddleware:
    """Stores the pages of views that are decorated with `cache_page`.

    It has to be the first in ``MIDDLEWARE``. It also gives such pages an ``ETag``, answers
    conditional requests with 304, and has browsers ask each time, so that what is promised holds
    for them as well.
    """

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self.get_response = get_response
        self.is_async = iscoroutinefunction(get_response)
        if self.is_async:
            markcoroutinefunction(self)

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
