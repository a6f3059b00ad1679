"""What a write made stale, seen from outside: by the signal, and by reading through the cache."""

from collections.abc import Iterator
from typing import Any

import pytest

from cache_invalidation.rules import Invalidation
from cache_invalidation.signals import invalidated


@pytest.fixture
def deliveries() -> Iterator[list[Invalidation]]:
    """Everything delivered during the test, one item for each batch."""
    found: list[Invalidation] = []

    def record(sender: Any, invalidation: Invalidation, **kwargs: Any) -> None:
        found.append(invalidation)

    invalidated.connect(record)
    try:
        yield found
    finally:
        invalidated.disconnect(record)
