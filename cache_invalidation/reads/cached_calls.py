"""What all cached functions have in common: from a call to its key, its tags and its `Read`."""

import logging
from collections.abc import Callable, Iterable, Mapping
from functools import WRAPPER_ASSIGNMENTS, partial
from typing import Any, Generic, ParamSpec, TypeVar, overload

from cache_invalidation.delivery.fencing import drop
from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.reads import functions
from cache_invalidation.reads.arguments import Signature
from cache_invalidation.reads.declared_tags import DeclaredTags, Tags
from cache_invalidation.reads.dependencies import NOTHING, hand_up
from cache_invalidation.reads.hottest import is_for_anybody
from cache_invalidation.reads.near import CALLS, PLAIN, AtHand
from cache_invalidation.reads.read import Default, Read
from cache_invalidation.reads.varying import Source, Varying, code_version
from cache_invalidation.rules.plans import Parts
from cache_invalidation.rules.registry import registry
from cache_invalidation.stores import get_store
from cache_invalidation.stores.near import take_into_use
from cache_invalidation.tags import ROOT, call_tag, expand

logger = logging.getLogger("cache_invalidation")

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound="Cached[Any, Any]")


class Cached(Generic[P, R]):
    """What functions and coroutine functions become.

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
