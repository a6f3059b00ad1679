"""Without a rule that looks at values, code that runs before a statement is not in a transaction.

Each test does the same without the app: whatever is raised there counts as what is right.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing, suppress
from typing import Any

import pytest
from django.db import ProgrammingError, connections, transaction

from tests.cursors import execute
from tests.testapp.halfway import Parcel
from tests.testapp.models import Category
from tests.uninstalled import uninstalled
from tests.writes.middles import between_the_tables

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])


def _durable(using: str) -> None:
    with transaction.atomic(using=using, durable=True):
        Category.objects.using(using).create(name="x")


def _failing(using: str) -> None:
    with suppress(ProgrammingError):
        execute("default", "SELECT * FROM missing")


def _on_commit(using: str) -> None:
    seen = []
    transaction.on_commit(lambda: seen.append(using), using=using)
    assert seen == [using]


def _locking(using: str) -> None:
    name = str(connections["sqlite"].settings_dict["NAME"])
    with closing(sqlite3.connect(name, timeout=0.2)) as other, other:
        other.execute("INSERT INTO testapp_tag (name) VALUES ('x')")


WRITES: dict[str, Callable[[str], object]] = {
    "insert": lambda using: Parcel(name="new").save(using=using),
    "update": lambda using: Parcel.objects.using(using).get(name="old").save(),
}


@pytest.mark.parametrize("act", [_durable, _failing, _on_commit, _locking])
@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_what_pre_save_may_do(
    using: str, write: Callable[[str], object], act: Callable[[str], None]
) -> None:
    Parcel.objects.using(using).create(name="old")
    with between_the_tables(lambda row: act(using)):
        with uninstalled():
            write(using)
        write(using)


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_what_pre_save_has_written_stays_if_the_save_fails(
    using: str, write: Callable[[str], object]
) -> None:
    Parcel.objects.using(using).create(name="old")

    def fail(row: Any) -> None:
        Category.objects.using(using).create(name="x")
        raise ZeroDivisionError

    def failing() -> int:
        with between_the_tables(fail), pytest.raises(ZeroDivisionError):
            write(using)
        return Category.objects.using(using).count()

    with uninstalled():
        assert failing() == 1
    assert failing() == 2
