"""What `cached` makes of functions, coroutine functions and methods."""

import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping
from functools import WRAPPER_ASSIGNMENTS, partial
from time import sleep
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from asgiref.sync import markcoroutinefunction, sync_to_async

from cache_invalidation.delivery.fencing import drop
from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.metrics.counters import counters
from cache_invalidation.reads import functions
from cache_invalidation.reads.ahead import is_due, refresh_ahead
from cache_invalidation.reads.arguments import Signature
from cache_invalidation.reads.consistency import acheck, check, is_chosen, recomputing
from cache_invalidation.reads.declared_tags import DeclaredTags, Tags
from cache_invalidation.reads.dependencies import NOTHING, Dependencies, collecting, hand_up
from cache_invalidation.reads.etags import etag_of
from cache_invalidation.reads.hottest import hottest, is_for_anybody
from cache_invalidation.reads.hottest import is_chosen as is_chosen_for_warming
from cache_invalidation.reads.near import CALLS, ELSEWHERE, PLAIN, AtHand
from cache_invalidation.reads.protocol import attempt
from cache_invalidation.reads.read import Default, Read
from cache_invalidation.reads.steps import awalk
from cache_invalidation.reads.storing import fail, finish
from cache_invalidation.reads.together import look_of
from cache_invalidation.reads.varying import Source, Varying, code_version
from cache_invalidation.rules.plans import Parts
from cache_invalidation.rules.registry import registry
from cache_invalidation.stores import get_store
from cache_invalidation.stores.near import take_into_use
from cache_invalidation.tags import ROOT, call_tag, expand

logger = logging.getLogger("cache_invalidation")

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound="_Cached[Any, Any]")


class _Cached(Generic[P, R]):
    """What functions and coroutines have in common.

    What is theirs is in slots, since `functools.wraps` copies attributes: from what is decorated to
    them, and from them to what somebody wraps around them.
    """

    __slots__ = (
        *("uncached", "signature", "tags", "records", "timeout", "lock", "sample", "ahead", "near"),
        *("varying", "is_warmed", "at_hand", "_spelled", "_parts", "_told"),
        *("__dict__", "__weakref__"),
    )
    __name__: str

    def __init__(
        self,
        function: Callable[P, R],
        tags: Tags | None,
        timeout: float | Default | None,
        lock: bool,
        name: str | None,
        sample: float | None,
        ahead: bool,
        near: bool,
        vary_on: Source | Iterable[Source] | None,
    ) -> None:
        self.uncached = function
        self.signature = Signature(function, name)
        self.tags = DeclaredTags(() if tags is None else tags, self.signature)
        self.records = tags is None
        self.timeout = timeout
        self.lock = lock
        self.sample = sample
        self.ahead = ahead
        self.near = near
        if near:
            take_into_use()
        self.varying = Varying(vary_on, self.signature.name)
        self.is_warmed = is_for_anybody(self.varying.names, self.signature.names)
        # Keys and tags by call, as long as tags have these parts.
        self._spelled: dict[Any, tuple[str, tuple[str, ...]]] = {}
        self._parts: Parts | None = None
        is_plain = sample is None and not self.varying.names and not self.tags.callables
        self.at_hand = AtHand(self.signature.name) if near and is_plain else None
        self._told: set[str] = set()
        self._look_like(function)
        functions.add(self)

    def _look_like(self, function: Any) -> None:
        """Take over what the function says about itself, and what the project has put on it.

        Names that mean something here keep their meaning; `uncached` has what is on the function.
        """
        put = getattr(function, "__dict__", {})
        found = {name: value for name, value in put.items() if not hasattr(type(self), name)}
        said = [name for name in WRAPPER_ASSIGNMENTS if hasattr(function, name)]
        found |= {name: getattr(function, name) for name in said}
        self.__dict__.update(found, __wrapped__=function)

    def __repr__(self) -> str:
        return f"<cached {self.signature.name}>"

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """Return the name of the entry for this call, without the prefix of the cache.

        Raises `TypeError` for an argument that cannot be part of a key.
        """
        return self.signature.key(self.signature.bind(args, kwargs), self._variant(self._varied()))

    def _varied(self) -> Mapping[str, str]:
        return self.varying.now() if self.varying.names else NOTHING

    def _variant(self, varied: Mapping[str, str]) -> tuple[str, ...]:
        """Return which of the values for the same arguments it is, if there may be several."""
        code = code_version()
        return (code, *varied.values()) if code or varied else ()

    def _read(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Read:
        varied = self._varied()
        if varied:
            hand_up({}, True, varied)
        kinds, variant = tuple(map(type, args)), self._variant(varied)
        if kwargs or self.tags.callables or not PLAIN.issuperset(kinds):
            key, tags = self._spell(args, kwargs, variant)
        else:
            parts = registry.parts
            if self._parts is not parts:
                self._spelled, self._parts = {}, parts
            known = self._spelled  # Another thread may find that the parts have changed.
            call = args, kinds, variant  # With the types, because 1 and True are equal.
            spelled = known.get(call)
            if spelled is None:
                if len(known) >= CALLS:
                    known.clear()
                spelled = known[call] = self._spell(args, kwargs, variant)
            key, tags = spelled
        return Read(
            *(self.signature.name, key, tags, self.timeout, self.lock, self.records),
            function=self.uncached,
            varies=self.varying.names,
            told=self._told,
            near=self.near,
        )

    def _spell(
        self, args: tuple[Any, ...], kwargs: dict[str, Any], variant: tuple[str, ...] = ()
    ) -> tuple[str, tuple[str, ...]]:
        """Return the key and the expanded tags of a call."""
        arguments = self.signature.bind(args, kwargs)
        key, tags = self.signature.key(arguments), self.tags.of_call(arguments, args, kwargs)
        if variant:
            tags = expand({*tags, self._call_tag(key)})
            key = self.signature.key(arguments, variant)
        return key, tags

    def _call_tag(self, key: str) -> str:
        name = self.signature.name
        return call_tag(name, key.removeprefix(name)[1:])

    def _drop(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        key = self.signature.key(self.signature.bind(args, kwargs))
        # What was computed for another language, or by another release, is only found by its tag.
        tags = {self._call_tag(key)} if self.varying.names or code_version() else set()
        try:
            places = {get_store().entry_place(key): key}
        except CacheInvalidationError as error:
            logger.error("Cannot tell where %r is kept, so everything is dropped: %s", key, error)
            places, tags = {}, {ROOT}
        drop(self.signature.name, places, tags)

    @overload
    def __get__(self: F, instance: None, owner: type) -> F: ...
    @overload
    def __get__(self: F, instance: object, owner: type) -> "BoundCached": ...
    def __get__(self: F, instance: object | None, owner: type) -> "F | BoundCached":
        return self if instance is None else BoundCached(self, instance)


def _finish(read: Read, value: Any, dependencies: Dependencies) -> None:
    """Store `value` if that is allowed, and count why not."""
    reason = finish(read, value, dependencies)
    read.is_stored = reason is None
    if reason is not None:
        counters.add(f"unstored:{read.name}:{reason}")


def _fail(read: Read, dependencies: Dependencies) -> None:
    fail(read, dependencies)
    counters.add(f"unstored:{read.name}:exception")


class CachedFunction(_Cached[P, R]):
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


class CachedCoroutine(_Cached[P, Coroutine[Any, Any, R]]):
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


class BoundCached:
    """A cached method of one instance; the instance is the first argument of everything."""

    def __init__(self, function: Any, instance: object) -> None:
        self.__func__ = function  # As a method of a class has it, whatever Python binds it by.
        self.key = partial(function.key, instance)
        self.invalidate = partial(function.invalidate, instance)
        self.refresh = partial(function.refresh, instance)
        self.etag = partial(function.etag, instance)
        self.uncached = partial(function.uncached, instance)
        self._call: Callable[..., Any] = partial(function, instance)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the cached function with the instance as its first argument."""
        return self._call(*args, **kwargs)
