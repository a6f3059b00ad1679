"""`cached`: values that are never older than the data they were computed from."""

from collections.abc import Callable, Coroutine, Iterable
from datetime import timedelta
from typing import Any, ParamSpec, TypeVar, overload

from cache_invalidation.reads.cached_functions import CachedCoroutine, CachedFunction
from cache_invalidation.reads.declared_tags import Tags
from cache_invalidation.reads.decorated import check as check_decorated
from cache_invalidation.reads.decorated import is_coroutine_function
from cache_invalidation.reads.options import checked
from cache_invalidation.reads.read import DEFAULT, Default
from cache_invalidation.reads.varying import Source

P = ParamSpec("P")
R = TypeVar("R")


class _Decorator:
    """What `cached` returns: applied to a function or to a coroutine function."""

    def __init__(self, **options: Any) -> None:
        self.options = options

    @overload
    def __call__(  # type: ignore[overload-overlap]
        self, function: Callable[P, Coroutine[Any, Any, R]]
    ) -> CachedCoroutine[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R]) -> CachedFunction[P, R]: ...
    def __call__(self, function: Any) -> Any:
        check_decorated(function)
        kind: Any = CachedCoroutine if is_coroutine_function(function) else CachedFunction
        return kind(function, **self.options)


@overload
def cached(  # type: ignore[overload-overlap]
    function: Callable[P, Coroutine[Any, Any, R]], /
) -> CachedCoroutine[P, R]: ...
@overload
def cached(function: Callable[P, R], /) -> CachedFunction[P, R]: ...
@overload
def cached(
    *,
    tags: Tags | None = None,
    timeout: float | timedelta | Default | None = DEFAULT,
    lock: bool = False,
    name: str | None = None,
    sample: float | None = None,
    refresh: bool = False,
    near: bool = False,
    vary_on: Source | Iterable[Source] | None = None,
) -> _Decorator: ...
def cached(
    function: Any = None,
    /,
    *,
    tags: Tags | None = None,
    timeout: float | timedelta | Default | None = DEFAULT,
    lock: bool = False,
    name: str | None = None,
    sample: float | None = None,
    refresh: bool = False,
    near: bool = False,
    vary_on: Source | Iterable[Source] | None = None,
) -> Any:
    """Keep the values of a function until something that they depend on changes.

    A decorator; with none of the options its brackets may be left out.

    Without `tags`, that is whatever it reads from the databases: the row, where it asks for one by
    its primary key or by a field that a rule tracks, the table otherwise. `tags` says it instead:
    templates over the arguments (``"category:{category_id}"``), models (any row), instances (that
    row), and callables that get the arguments and return any of these.

    `timeout` is in seconds or a `timedelta`, None for "until invalidated"; ``DEFAULT_TIMEOUT`` if
    left out. With `lock`, one caller computes and the others wait for it, up to ``LOCK_TIMEOUT``.
    `name` stands for the function in keys and metrics; it has to be unique.

    `vary_on` names what the value is for besides the arguments: ``"language"``, ``"timezone"``, and
    functions without arguments, such as one that returns the name of the tenant; there is a value
    for each of theirs. A cached function that calls this one has to say the same. With another
    ``CODE_VERSION``, no value is used that was computed before.

    On the share `sample` of its hits, above 0 and up to 1, the function is called all the same, and
    the cached value compared with what it returns. If it is stale, that is logged and counted, the
    entry dropped and the new value returned. `check_cache_consistency` does it for all entries.

    With `refresh`, a hit in the last tenth of the timeout has the value computed anew in the
    background, or where the setting ``REFRESH`` says, so that the next reader does not wait for it.

    With `near`, a process keeps the value in its own memory as well, up to ``NEAR_BYTES``, and
    answers from there alone. Whoever writes what it depends on waits until each process that keeps
    it has dropped it, or at most ``NEAR_WAIT`` seconds. A value that can be changed is decoded for
    each call.

    Cached functions that are called inside hand their tags up. In a transaction that has written
    to one of the tags the function is just called, and while a write is in flight its value is not
    stored. A store that fails costs the cached value, never the call.

    Raises `TypeError` or `ValueError` for a declaration that cannot work, and `TypeError`, when
    called, for arguments that cannot be part of a key.
    """
    options = checked(timeout, lock, name, sample, refresh, near)
    decorator = _Decorator(tags=tags, vary_on=vary_on, **options)
    return decorator if function is None else decorator(function)
