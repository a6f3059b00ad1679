from collections.abc import Iterator
from typing import Any

import pytest

from cache_invalidation.metrics.counters import counters


@pytest.fixture(autouse=True)
def nothing_counted(settings: Any) -> Iterator[None]:
    """Start with no counts, and flush only when a test says so."""
    settings.CACHE_INVALIDATION = {"METRICS_FLUSH_INTERVAL": 3600, "RETRY_INTERVAL": 0.001}
    counters.discard()
    # The first count of a process is flushed at once; here that has happened.
    counters.flush()
    yield
    counters.discard()
