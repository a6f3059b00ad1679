"""What a request asks the cache for one by one, and could in one round trip.

A few requests are watched for that, as if there was a block of `cached_together` around the view:
the same is learned, and nothing is fetched. The advice is made of what is counted here.
"""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from random import random
from typing import Any, Final

from django.core.handlers.base import BaseHandler
from django.http import HttpRequest

from cache_invalidation.context import during
from cache_invalidation.metrics.counters import counters
from cache_invalidation.reads.profiles import Call, Given
from cache_invalidation.reads.protocol import look_once
from cache_invalidation.reads.read import Outcome, Read
from cache_invalidation.reads.together import Block, surroundings
from cache_invalidation.stores import get_store
from cache_invalidation.transactions.ahead import ahead
from cache_invalidation.transactions.open_batches import is_dirty
from cache_invalidation.wrapping import wrap

#: Of so many requests one is watched, at random.
SAMPLED: Final = 16


def install() -> None:
    """Watch some of the requests. May be called again."""
    wrap(BaseHandler, "get_response", _answer)
    wrap(BaseHandler, "get_response_async", _aanswer)


class Watched(Block):
    """A request, as the block that there could be."""

    def __init__(self, request: HttpRequest) -> None:
        super().__init__(self._begun)
        self._request: HttpRequest | None = request
        self._route = ""
        self._worth: frozenset[Call] = frozenset()
        self._spared = 0

    def _begun(self) -> tuple[str, Given] | None:
        """Return what it is called and what it is for, by the URL, as with a view decorated.

        By what Django has found there, which nobody has to find again: a converter of the project
        may ask the database.
        """
        match = getattr(self._request, "resolver_match", None)
        if match is None:
            return None  # There is no view yet, or none at all.
        self._route = str(match.route)
        given = {str(number): value for number, value in enumerate(match.args, 1)}
        return f"route {self._route}", {**given, **match.kwargs}

    def _look(self, call: Call | None, read: Read) -> Outcome:
        outcome = look_once(read)
        if not self._has_looked:
            self._has_looked = True
            if self._profile is not None and get_store().looks_at_many and not is_dirty():
                self._worth = frozenset(self._profile.wanted())
                self._surroundings = surroundings()
        elif call in self._worth and outcome == "hits" and not self._is_over:
            self._spared += self._surroundings == surroundings()
        return outcome

    def end(self) -> None:
        """Learn from it, and count."""
        self._learn()
        self._is_over = True
        self._request = None  # A task that goes on has this in its context.
        if self._asked:
            counters.update({f"watched:{self._route}": 1, f"spared:{self._route}": self._spared})


def _answer(method: Callable[..., Any], handler: Any, request: HttpRequest) -> Any:
    if not _is_watched(request):
        return method(handler, request)
    with _watching(request):
        return method(handler, request)


async def _aanswer(
    method: Callable[..., Awaitable[Any]], handler: Any, request: HttpRequest
) -> Any:
    if not _is_watched(request):
        return await method(handler, request)
    with _watching(request):
        return await method(handler, request)


def _is_watched(request: HttpRequest) -> bool:
    if random() * SAMPLED >= 1:  # noqa: S311 - nobody is to guess it
        return False
    return request.method == "GET" and ahead.get() is None


@contextmanager
def _watching(request: HttpRequest) -> Iterator[None]:
    watched = Watched(request)
    try:
        with during(ahead, watched):
            yield
    finally:
        watched.end()
