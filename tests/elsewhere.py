"""What another thread does meanwhile, with connections of its own."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import wraps
from typing import ParamSpec, TypeVar

from django.db import connections

from tests.stores.steps import PATIENCE

P = ParamSpec("P")
R = TypeVar("R")


def apart(function: Callable[P, R]) -> Callable[P, R]:
    """Have `function`, which another thread calls, close the connections of that thread."""

    @wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return function(*args, **kwargs)
        finally:
            connections.close_all()

    return call


def elsewhere(function: Callable[[], R]) -> R:
    """Call `function` in another thread, wait for it, and return what it returns."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(apart(function)).result(PATIENCE)
