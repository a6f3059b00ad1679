"""Methods of Django that are wrapped, once by each who wants to know of calls."""

from collections.abc import Callable
from functools import wraps
from inspect import iscoroutinefunction
from typing import Any, Final

# On a wrapper: who observes. Whoever wraps it takes its attributes along.
_MARK: Final = "_cache_invalidation_observes"


def wrap(owner: Any, name: str, observed: Callable[..., Any]) -> None:
    """Have calls of a method of `owner` go to `observed`, with the method in front of arguments."""
    method = getattr(owner, name)
    observers: frozenset[Any] = getattr(method, _MARK, frozenset())
    if observed not in observers:

        @wraps(method)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            return observed(method, *args, **kwargs)

        @wraps(method)
        async def coroutine(*args: Any, **kwargs: Any) -> Any:
            return await observed(method, *args, **kwargs)

        # Servers, for instance, ask whether what they call is one.
        replacement = coroutine if iscoroutinefunction(method) else wrapper
        setattr(replacement, _MARK, observers | {observed})
        setattr(owner, name, replacement)


def is_wrapped(owner: Any, name: str) -> bool:
    """Whether the method is observed: nobody has put it back, or another in its place."""
    return hasattr(getattr(owner, name), _MARK)
