"""Databases that are not emptied after each test: `World` empties what it needs."""

from tests.coverage_matrix.conftest import _django_db_helper

__all__ = ["_django_db_helper"]
