"""Where units of work begin and end: requests do so by themselves."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.base import BaseHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import setting_changed
from django.dispatch import receiver

from cache_invalidation.connections import sees_snapshot
from cache_invalidation.context import during
from cache_invalidation.observing import watcher
from cache_invalidation.stores.near import take_into_use
from cache_invalidation.stores.tracking import is_tracked, keeps_near
from cache_invalidation.surfaces.tracked import seen
from cache_invalidation.surfaces.tracked.journals import Journal
from cache_invalidation.wrapping import wrap


def install() -> None:
    """Have each request be a unit, if keys are tracked. May be called again."""
    # What receivers of `request_started` read may be in what a view sets. ASGI sends from within.
    wrap(WSGIHandler, "__call__", _answer)
    wrap(ASGIHandler, "__call__", _aanswer)
    wrap(BaseHandler, "get_response", _answer)
    wrap(BaseHandler, "get_response_async", _aanswer)
    _begin_or_end()


@receiver(setting_changed, dispatch_uid="cache_invalidation.units")
def _begin_or_end(setting: str = "CACHES", **kwargs: Any) -> None:
    if setting in ("CACHES", "CACHE_INVALIDATION"):
        watcher.begin_journal = current if is_tracked() else None
        if keeps_near():
            take_into_use()


def current() -> Journal:
    """Return the journal of what is being done, a new one if need be."""
    found = watcher.journal.get()
    if not isinstance(found, Journal):
        found = Journal(None)
        watcher.journal.set(found)
    return found


@contextmanager
def unit_of_work() -> Iterator[None]:
    """Have what is cached inside of the block depend on nothing that was read before it.

    A request is such a unit by itself, and this does nothing inside of one. A script that caches by
    ``cache.get`` and ``cache.set`` makes one of each round of a loop: what it has read in one may
    be in what it sets in the next, for all that anybody can tell. What was read before the block
    must not be part of what is set in it.
    """
    outer = watcher.journal.get()
    if watcher.begin_journal is None or (isinstance(outer, Journal) and outer.begun is not None):
        yield
        return
    # In a transaction that began before this, rows may be older than whatever has been seen.
    begun = seen.NEVER if sees_snapshot() else seen.now()
    try:
        with during(watcher.journal, Journal(begun)):
            yield
    finally:
        if isinstance(outer, Journal):
            outer.lose_track()  # It does not know what was read in here.


def _answer(method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    with unit_of_work():
        return method(*args, **kwargs)


async def _aanswer(method: Callable[..., Awaitable[Any]], *args: Any, **kwargs: Any) -> Any:
    with unit_of_work():
        return await method(*args, **kwargs)


class Tasks:
    """Units of work that begin and end by signals, as tasks do."""

    def __init__(self) -> None:
        self._begun: dict[str, AbstractContextManager[None]] = {}

    def begin(self, task: str) -> None:
        """Begin the unit of a task, by its id."""
        unit = self._begun[task] = unit_of_work()
        unit.__enter__()

    def end(self, task: str) -> None:
        """End it, in the same thread."""
        if (unit := self._begun.pop(task, None)) is not None:
            unit.__exit__(None, None, None)
