"""Whether anybody knows where a value comes from, and what is said if nobody does."""

import logging
from collections.abc import Callable
from types import FunctionType
from typing import Any

from cache_invalidation.exceptions import CacheDependencyWarning
from cache_invalidation.reads.callers import warn
from cache_invalidation.reads.recorders import wants_warnings

logger = logging.getLogger("cache_invalidation")

_said: set[str] = set()


def carries_nothing(function: Any) -> bool:
    """Whether a function without arguments can only know what it reads itself."""
    return (
        isinstance(function, FunctionType)
        and not function.__closure__
        and not function.__defaults__
        and not function.__kwdefaults__
    )


def say_unknown(key: str, name: str, function: Callable[..., Any]) -> None:
    """Say that `key`, of those called `name`, was set by `function`, and not kept."""
    message = (
        f"{key!r} is set without having been asked for, so nobody knows what it depends "
        "on, and it is not kept. Get it first and set it if it is missing, or use "
        "get_or_set(); in a script, within unit_of_work(). Or name it in OPTIONS['BLIND']."
    )
    if wants_warnings():
        warn(message, CacheDependencyWarning, function)
    elif name not in _said:
        _said.add(name)
        logger.warning(message)
