"""Variables of a thread or task that have another value for as long as a block lasts."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")


@contextmanager
def during(variable: ContextVar[T], value: T) -> Iterator[None]:
    """Set `variable` to `value` until the block ends; then it is what it was before."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
