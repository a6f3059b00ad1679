"""Variables of a thread or task that have another value for as long as a block lasts."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, TypeVar

T = TypeVar("T")


def variable_of(local: Any) -> ContextVar[Any] | None:
    """Return the variable that has no value where nothing was ever set on a `Local` of asgiref.

    Asking that itself takes ten times as long to say so, and what Django keeps in one is asked for
    each page and block. None if it keeps it elsewhere, and has to be asked.
    """
    found = getattr(getattr(local, "_storage", None), "_data", None)
    return found if isinstance(found, ContextVar) else None


def is_unset(variable: ContextVar[Any] | None) -> bool:
    """Whether nothing was set, in this thread or task, on the `Local` that `variable` is of."""
    return variable is not None and variable.get(None) is None


@contextmanager
def during(variable: ContextVar[T], value: T) -> Iterator[None]:
    """Set `variable` to `value` until the block ends; then it is what it was before."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
