"""On what a call of a cached function depends, whatever is cached and whatever is being written.

It is called for that, and so are the cached functions inside of it: a cache tells nothing in the
transaction of a `TestCase`, which reads around it as soon as it has written.
"""

from contextlib import AbstractContextManager, ExitStack
from contextvars import ContextVar
from dataclasses import dataclass, field
from functools import partial
from typing import Any
from unittest import mock

from asgiref.sync import async_to_sync, sync_to_async
from django.db.backends.base.base import BaseDatabaseWrapper

from cache_invalidation.context import during
from cache_invalidation.observing.relations import relation
from cache_invalidation.observing.rows_written import models_written
from cache_invalidation.observing.tags_read import tags_read
from cache_invalidation.observing.watcher import recorder
from cache_invalidation.reads.cached_calls import BoundCached
from cache_invalidation.reads.cached_functions import CachedCoroutine, CachedFunction
from cache_invalidation.sql import Statement
from cache_invalidation.stores import get_store
from cache_invalidation.tags import expand, model_tag

Function = CachedFunction[Any, Any] | CachedCoroutine[Any, Any]


@dataclass(frozen=True)
class Call:
    """A cached function and its arguments."""

    function: Function
    args: tuple[Any, ...]
    kwargs: dict[str, Any]

    def __str__(self) -> str:
        named = (f"{name}={value!r}" for name, value in self.kwargs.items())
        return f"{self.function.signature.name}({', '.join([*map(repr, self.args), *named])})"

    @property
    def entry(self) -> str:
        """The name of its entry."""
        return self.function.key(*self.args, **self.kwargs)

    def tags(self) -> frozenset[str]:
        """Return, expanded, the tags that its value depends on now. Raises what it raises."""
        call: Any = self.function
        if isinstance(self.function, CachedCoroutine):
            call = async_to_sync(self.function)
        reads = _Reads()
        with during(_reading, reads), ExitStack() as stack:
            for kind, replacement in _REPLACEMENTS:
                stack.enter_context(mock.patch.object(kind, "__call__", replacement))
            call(*self.args, **self.kwargs)
        return frozenset(expand(reads.tags))


def call_of(target: Any) -> Call | None:
    """Return the call that a cached function or a `partial` of one stands for; None if neither."""
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}
    while isinstance(target, partial | BoundCached):
        if isinstance(target, BoundCached):
            target = target._call
        args, kwargs = target.args + args, target.keywords | kwargs
        target = target.func
    if not isinstance(target, CachedFunction | CachedCoroutine):
        return None
    return Call(target, args, kwargs)


@dataclass
class _Reads:
    """Records what is read, by any function that declares no tags."""

    tags: set[str] = field(default_factory=set)

    def reads(
        self, statement: Statement, params: Any, many: bool, connection: BaseDatabaseWrapper
    ) -> None:
        relation_of = partial(relation, connection)
        for tags in tags_read(statement, params, many, connection, relation_of).values():
            self.tags |= tags
        self.tags |= {model_tag(model) for model in models_written(statement)}

    def reads_unknown(self, text: str) -> None:
        """Such a value is never stored."""


_reading: ContextVar[_Reads | None] = ContextVar("cache_invalidation_testing", default=None)


def _inside(
    function: Function, args: Any, kwargs: Any, reads: _Reads
) -> AbstractContextManager[None]:
    """Record what the function reads in the block, and what it declares."""
    reads.tags.update(function._spell(args, kwargs)[1])
    return during(recorder, reads if function.records else None)


def _evaluate(value: Any) -> None:
    """Have what is lazy in a value read, as storing it would."""
    try:
        get_store().encode(value)
    except Exception:  # noqa: BLE001 - then it would not be stored, and never be stale
        return


def _call(function: CachedFunction[Any, Any], /, *args: Any, **kwargs: Any) -> Any:
    reads = _reading.get()
    if reads is None:
        return _original_call(function, *args, **kwargs)
    with _inside(function, args, kwargs, reads):
        value = function.uncached(*args, **kwargs)
        _evaluate(value)
        return value


async def _call_coroutine(function: CachedCoroutine[Any, Any], /, *args: Any, **kwargs: Any) -> Any:
    reads = _reading.get()
    if reads is None:
        return await _original_call_coroutine(function, *args, **kwargs)
    with _inside(function, args, kwargs, reads):
        value = await function.uncached(*args, **kwargs)
        await sync_to_async(_evaluate)(value)
        return value


_original_call, _original_call_coroutine = CachedFunction.__call__, CachedCoroutine.__call__
_REPLACEMENTS: Any = ((CachedFunction, _call), (CachedCoroutine, _call_coroutine))
