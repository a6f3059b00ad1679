"""Values that have come into the last tenth of their timeout, without anybody having waited."""

from collections.abc import Iterator
from contextlib import contextmanager
from time import time
from typing import Any
from unittest import mock

import pytest

from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.reads import ahead
from cache_invalidation.reads.background import background
from tests.stores.steps import PATIENCE

TIMEOUT = 1000.0  # seconds; nothing expires while a test runs


@pytest.fixture(autouse=True)
def nothing_begun() -> Iterator[None]:
    """Leave no thread behind, nor that anybody has tried before."""
    ahead._turns._forget()
    yield
    settle()


@contextmanager
def aged(share: float = 0.95) -> Iterator[None]:
    """Have what is stored look that old to its readers."""
    with mock.patch.object(ahead, "time", side_effect=lambda: time() + share * TIMEOUT):
        yield


def hit_when_due(function: Any, *args: Any) -> Any:
    """Call the function as the first reader after that moment, and return what he gets."""
    ahead._turns._next.clear()
    with aged():
        return function(*args)


def settle() -> None:
    """Wait until nothing is done in the background any more."""
    assert background.wait(PATIENCE), "something hangs in the background"


def refreshed(name: str) -> dict[str, int]:
    """Return what became of the refreshes of a function."""
    return read_metrics()["refreshed"].get(name, {})
