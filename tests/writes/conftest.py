"""What a write made stale, seen from outside."""

from collections.abc import Iterator

import pytest

from tests.delivered import Delivered, delivered


@pytest.fixture
def deliveries() -> Iterator[Delivered]:
    """Everything delivered during the test, one item for each batch."""
    with delivered() as found:
        yield found
