"""What another thread does meanwhile, with connections of its own."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from django.db import connections

from tests.stores.steps import PATIENCE

R = TypeVar("R")


def elsewhere(function: Callable[[], R]) -> R:
    """Call `function` in another thread, wait for it, and return what it returns."""

    def call() -> R:
        try:
            return function()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call).result(PATIENCE)
