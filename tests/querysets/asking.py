"""Whether queries go to the database."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections
from django.test.utils import CaptureQueriesContext

from cache_invalidation.metrics.report import read_metrics


@contextmanager
def statements(using: str, number: int) -> Iterator[None]:
    """Check that so many statements go to the database inside of the block."""
    with CaptureQueriesContext(connections[using]) as captured:
        yield
    said = [query["sql"] for query in captured.captured_queries]
    assert len(said) == number, said


def is_cached(using: str, ask: Callable[[], Any]) -> bool:
    """Whether what was asked before is answered without the database."""
    ask()
    with CaptureQueriesContext(connections[using]) as captured:
        ask()
    return not captured.captured_queries


def reasons(name: str) -> dict[str, int]:
    """Return why values of that name were not stored, and how often."""
    return dict(read_metrics()["not_stored"].get(name, {}))


def names(rows: Any) -> list[str]:
    return sorted(str(row) for row in rows)


both = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])
