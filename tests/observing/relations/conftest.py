"""Tables that are not as Django would have made them, and models of them."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections, models

from cache_invalidation import cached
from cache_invalidation.exceptions import CacheDependencyWarning
from tests.cursors import execute
from tests.testapp.made import models_forgotten
from tests.writes.conftest import deliveries

__all__ = ["deliveries"]

Define = Callable[..., None]


@pytest.fixture(autouse=True)
def nothing_made_stays() -> Iterator[None]:
    with models_forgotten():
        yield


@pytest.fixture
def define(transactional_db: None) -> Iterator[Define]:
    """Execute definitions on a database, each with what takes it back when the test ends."""
    undone: list[tuple[str, str]] = []

    def enter(using: str, create: str, undo: str = "") -> None:
        execute(using, create)
        if undo:
            undone.append((using, undo))

    try:
        yield enter
    finally:
        for using, undo in reversed(undone):
            execute(using, undo)


def make_model(called: str, table: str, /, **attributes: Any) -> Any:
    """Make a model of a table that is there already."""
    meta = type("Meta", (), {"app_label": "testapp", "db_table": table, "managed": False})
    options = {"__module__": __name__, "Meta": meta, **attributes}
    return type(called, (models.Model,), options)


def model_of(table: str, called: str = "Shown", **attributes: Any) -> Any:
    return make_model(called, table, name=models.CharField(max_length=100), **attributes)


def reader(model: Any, using: str = "default") -> Any:
    @cached(name=f"names of {model.__name__}")
    def names() -> list[str]:
        return list(model.objects.using(using).values_list("name", flat=True))

    return names


def assert_not_stored(names: Any, what: str) -> None:
    """Assert that it is said why `names` is not stored, and that it is not."""
    for _ in range(2):  # The second call would be the hit.
        with pytest.warns(CacheDependencyWarning, match=f"not stored.*{what}"):
            names()


def raw_reader(sql: str, using: str = "default") -> Any:
    @cached(name=sql)
    def names() -> list[str]:
        with connections[using].cursor() as cursor:
            cursor.execute(sql)
            return [name for (name,) in cursor.fetchall()]

    return names


def refuse(*args: Any) -> None:
    raise AssertionError("This should have been a hit.")
