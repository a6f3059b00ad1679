"""Whether anybody knows where a value comes from, and what is said if nobody does."""

import logging
from base64 import urlsafe_b64encode
from collections.abc import Callable
from contextlib import suppress
from functools import lru_cache
from pkgutil import resolve_name
from types import FunctionType
from typing import Any, Final, cast

from django.utils.crypto import constant_time_compare, salted_hmac

from cache_invalidation.exceptions import CacheDependencyWarning
from cache_invalidation.reads.callers import warn
from cache_invalidation.reads.kept_calls import Arguments
from cache_invalidation.reads.reports import wants_warnings

logger = logging.getLogger("cache_invalidation")

_SIGNATURE: Final = 12  # bytes

_said: set[str] = set()


def carries_nothing(function: Any) -> bool:
    """Whether a function without arguments can only know what it reads itself."""
    return (
        isinstance(function, FunctionType)
        and not function.__closure__
        and not function.__defaults__
        and not function.__kwdefaults__
    )


def call_of(function: Callable[[], Any]) -> Arguments | None:
    """Return what is to be kept with what `function` has returned, to call it again elsewhere.

    That is nothing if its name does not lead to it, wherever it is imported.
    """
    spelled = None if "<" in function.__qualname__ else _spelled(function)
    return None if spelled is None else ((spelled,), {})


def function_of(call: Arguments) -> Callable[[], Any]:
    """Return the function that `call_of` was given; raise `LookupError` if there is none.

    Nobody is made to call something else by what is in the cache: it is signed.
    """
    (spelled,), _ = call
    name = str(spelled).rpartition(" ")[0]
    if not constant_time_compare(_signed(name), spelled):
        raise LookupError("it was signed by somebody else")
    return cast(Callable[[], Any], resolve_name(name))


@lru_cache(maxsize=1000)
def _spelled(function: Any) -> str | None:
    name = f"{function.__module__}:{function.__qualname__}"
    if function.__module__ == "__main__":
        return None  # Which is another module in another process.
    with suppress(ValueError, ImportError, AttributeError):
        return _signed(name) if resolve_name(name) is function else None
    return None


def _signed(name: str) -> str:
    mac = salted_hmac(__name__, name, algorithm="sha256").digest()
    return f"{name} {urlsafe_b64encode(mac[:_SIGNATURE]).decode()}"


def say_unknown(key: str, name: str, function: Callable[..., Any]) -> None:
    """Say that `key`, of those called `name`, was set by `function`, and not kept."""
    message = (
        f"{key!r} is not kept, since nobody knows what it was made from. Ask for it before you "
        "read, with get() or get_or_set(); in a thread, a task, a script or a shell, do that and "
        "set() within one unit_of_work(). If that is so, a counter or another such value was read "
        "before. If it may live until its timeout, name it in OPTIONS['BLIND']."
    )
    if wants_warnings():
        warn(message, CacheDependencyWarning, function)
    elif name not in _said:
        _said.add(name)
        logger.warning(message)
