"""Tables that are not as Django would have made them, and models of them."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import models

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
