"""What is said about values that are not kept, and why."""

import logging
from collections.abc import (
    AsyncIterator,
    Awaitable,
    ItemsView,
    Iterator,
    KeysView,
    Mapping,
    ValuesView,
)
from typing import Any, Final

from django.conf import settings as django_settings
from django.http.response import HttpResponseBase

from cache_invalidation.exceptions import UnstorableValue

logger = logging.getLogger("cache_invalidation")

DEEPEST: Final = 5  # lists in lists that are looked into

#: Why a value is not stored, whatever it is of; the words are those that are counted.
REASONS: Final[Mapping[str, str]] = {
    "dependencies": "what it reads may not be stored, or has changed meanwhile",
    "unavailable": "the cache could not be used when it was computed, or a write was under way",
    "exception": "computing it raised an exception",
    "value": "it is nothing that the cache can keep",
    "varies": "what it calls varies on what it does not name, or cannot be found by its name",
}

_CURES: Final[tuple[tuple[Any, str], ...]] = (
    ((Iterator, KeysView, ValuesView, ItemsView), "return a list of what is in it, list(…)"),
    (AsyncIterator, "return a list of what is in it, [each async for each in …]"),
    (Awaitable, "await it inside, or decorate the coroutine function itself"),
)


def tell(name: str, value: Any, error: Exception, told: set[str]) -> None:
    """Say that `name` has returned a `value` that cannot be stored, and what to do about it.

    Raises `UnstorableValue` under DEBUG. Otherwise it is logged, once for all who share `told`: the
    page has its value, and the function is only called more often than it need be.
    """
    message = f"{name}() returned a value that cannot be stored: {_reason(value, error)}."
    if django_settings.DEBUG:
        raise UnstorableValue(message) from error
    if "unstorable" not in told:
        told.add("unstorable")
        logger.error(message)


def _reason(value: Any, error: Exception) -> str:
    for part in _parts(value, DEEPEST):
        if cure := _cure_for(part):
            there = "it is" if part is value else "in it is"
            return f"{there} a {type(part).__name__}; {cure}"
    said = str(error).rstrip(".") or type(error).__name__
    return (
        f"it is a {type(value).__name__} ({said}); return plain values, such as texts, numbers, "
        "lists and dictionaries"
    )


def _cure_for(value: Any) -> str | None:
    if isinstance(value, HttpResponseBase):
        what = "its .data" if hasattr(value, "data") else "what it is made from"
        return f"return {what}, and make the response where the function is called"
    return next((cure for kinds, cure in _CURES if isinstance(value, kinds)), None)


def _parts(value: Any, depth: int) -> Iterator[Any]:
    yield value
    if depth and isinstance(value, Mapping | list | tuple | set | frozenset):
        for item in value.values() if isinstance(value, Mapping) else value:
            yield from _parts(item, depth - 1)
