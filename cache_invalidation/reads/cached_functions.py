"""What `cached` makes of functions and of coroutine functions."""

from collections.abc import Coroutine
from time import sleep
from typing import Any, ParamSpec, TypeVar, cast

from asgiref.sync import markcoroutinefunction, sync_to_async

from cache_invalidation.metrics.counters import counters
from cache_invalidation.reads.ahead import is_due, refresh_ahead
from cache_invalidation.reads.cached_calls import Cached
from cache_invalidation.reads.consistency import acheck, check, is_chosen, recomputing
from cache_invalidation.reads.dependencies import Dependencies, collecting
from cache_invalidation.reads.etags import etag_of
from cache_invalidation.reads.hottest import hottest
from cache_invalidation.reads.hottest import is_chosen as is_chosen_for_warming
from cache_invalidation.reads.near import ELSEWHERE
from cache_invalidation.reads.protocol import attempt
from cache_invalidation.reads.read import Read
from cache_invalidation.reads.steps import awalk
from cache_invalidation.reads.storing import fail, finish
from cache_invalidation.reads.together import look_of
from cache_invalidation.stores import get_store

P = ParamSpec("P")
R = TypeVar("R")


def _finish(read: Read, value: Any, dependencies: Dependencies) -> None:
    """Store `value` if that is allowed, and count why not."""
    reason = finish(read, value, dependencies)
    read.is_stored = reason is None
    if reason is not None:
        counters.add(f"unstored:{read.name}:{reason}")


def _fail(read: Read, dependencies: Dependencies) -> None:
    fail(read, dependencies)
    counters.add(f"unstored:{read.name}:exception")


class CachedFunction(Cached[P, R]):
    """A function whose values are kept until what they depend on changes."""

    __slots__ = ()

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the cached value, or compute it; it is stored if that is safe."""
        if (inner := recomputing.get()) is not None:
            return cast(R, inner.call(self.key(*args, **kwargs), self.uncached, args, kwargs))
        if self.at_hand is not None and not kwargs:
            value = self.at_hand.get(args)
            if value is not ELSEWHERE:
                self._note(args, kwargs)
                return cast(R, value)
        read = self._read(args, kwargs)
        for pause in attempt(read, look_of(self, args, kwargs)):
            sleep(pause)
        if not read.is_hit:
            return self._compute(read, args, kwargs)
        return self._after_hit(read, args, kwargs)

    def _after_hit(self, read: Read, args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
        if self.ahead and is_due(read):
            refresh_ahead(read)
        self._note(args, kwargs)
        if self.at_hand is not None and not kwargs:
            self.at_hand.put(args, read.kept, get_store())
        if self.sample is not None and is_chosen(self.sample):
            return cast(R, check(read, self.uncached, args, kwargs).value)
        return cast(R, read.value)

    def _note(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Note one hit of some, so that what is hit often can be warmed."""
        if self.is_warmed and is_chosen_for_warming():
            hottest.note(self, (args, kwargs))

    def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Make the value for these arguments stale: at COMMIT inside a transaction, else at once.

        Nothing else that depends on the same tags is touched.
        """
        self._drop(args, kwargs)

    def etag(self, *args: P.args, **kwargs: P.kwargs) -> str | None:
        """Return a strong entity tag for the value, which is computed if it is not cached.

        For `django.views.decorators.http.condition`. It is another one when the value has changed
        or may have, and for each language, time zone and ``CODE_VERSION``; None if the value cannot
        be stored now.
        """
        if recomputing.get() is not None:
            return None
        read = self._read(args, kwargs)
        for pause in attempt(read):
            sleep(pause)
        if not read.is_hit:
            self._compute(read, args, kwargs)
        return etag_of(read.payload, read.versions)

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Compute the value anew, whatever is cached; store and return it."""
        if recomputing.get() is not None:
            return self(*args, **kwargs)
        read = self._read(args, kwargs)
        read.refresh, read.lock = True, False
        for pause in attempt(read):
            sleep(pause)
        return self._compute(read, args, kwargs)

    def _compute(self, read: Read, args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
        dependencies = read.dependencies()
        read.call = (args, kwargs) if self.ahead or self.sample is not None else None
        try:
            with collecting(dependencies):
                value = self.uncached(*args, **kwargs)
        except BaseException:
            _fail(read, dependencies)
            raise
        _finish(read, value, dependencies)
        return value


class CachedCoroutine(Cached[P, Coroutine[Any, Any, R]]):
    """The same for a coroutine function. What may wait for the store or the database runs in
    Django's thread for such things, where the open transactions are.
    """

    __slots__ = ()

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Return the cached value, or compute it; it is stored if that is safe."""
        if (inner := recomputing.get()) is not None:
            key = self.key(*args, **kwargs)
            return cast(R, await inner.acall(key, self.uncached, args, kwargs))
        read = await sync_to_async(self._read)(args, kwargs)
        await awalk(attempt(read, look_of(self, args, kwargs)))
        if not read.is_hit:
            return await self._compute(read, args, kwargs)
        if self.ahead and is_due(read):
            await sync_to_async(refresh_ahead)(read)
        if self.is_warmed and is_chosen_for_warming():
            await sync_to_async(hottest.note)(self, (args, kwargs))
        if self.sample is not None and is_chosen(self.sample):
            return cast(R, (await acheck(read, self.uncached, args, kwargs)).value)
        return cast(R, read.value)

    async def invalidate(self, *args: P.args, **kwargs: P.kwargs) -> None:
        """Make the value for these arguments stale. See `CachedFunction.invalidate`."""
        await sync_to_async(self._drop)(args, kwargs)

    async def etag(self, *args: P.args, **kwargs: P.kwargs) -> str | None:
        """Return a strong entity tag for the value. See `CachedFunction.etag`."""
        if recomputing.get() is not None:
            return None
        read = await sync_to_async(self._read)(args, kwargs)
        await awalk(attempt(read))
        if not read.is_hit:
            await self._compute(read, args, kwargs)
        return etag_of(read.payload, read.versions)

    async def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Compute the value anew, whatever is cached; store and return it."""
        if recomputing.get() is not None:
            return await self(*args, **kwargs)
        read = await sync_to_async(self._read)(args, kwargs)
        read.refresh, read.lock = True, False
        await awalk(attempt(read))
        return await self._compute(read, args, kwargs)

    async def _compute(self, read: Read, args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
        dependencies = read.dependencies()
        read.call = (args, kwargs) if self.ahead or self.sample is not None else None
        try:
            with collecting(dependencies):
                value = await self.uncached(*args, **kwargs)
        except BaseException:
            await sync_to_async(_fail)(read, dependencies)
            raise
        await sync_to_async(_finish)(read, value, dependencies)
        return value


# The class and not each of its functions, from which `functools.wraps` would copy the mark.
markcoroutinefunction(CachedCoroutine)
