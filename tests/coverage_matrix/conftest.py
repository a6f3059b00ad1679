"""Databases that are not emptied after each test."""

from collections.abc import Iterator
from typing import Any

import pytest


@pytest.fixture
def _django_db_helper(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """Give access to the databases, and nothing else.

    It stands in for the fixture of pytest-django behind ``django_db(transaction=True)``, which
    empties every table of every database after each test. That takes several times as long as a
    cell of the matrix, and `tests.coverage_matrix.world.clear` knows which tables were used. Under
    another name it would do nothing, and the tests would be slow and right.
    """
    with django_db_blocker.unblock():
        yield
