"""Where a row is written: beside what is written, else into the default database, else nowhere."""

from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connections, transaction

from cache_invalidation import invalidate, models
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.models import PendingInvalidation, backlog, has_outbox
from cache_invalidation.signals import invalidation_failed
from cache_invalidation.stores import get_store
from cache_invalidation.stores.breaker import State
from example_project.servers import ValkeyServer
from tests.cursors import execute
from tests.delivery.outbox.rows import at_commit, is_due, names, rows, targets
from tests.outages import Use, suspended, wait_for
from tests.routers import only_in
from tests.testapp.models import Product

__all__ = ["only_in"]

DATABASES = ["default", "other", "sqlite"]

pytestmark = pytest.mark.django_db(transaction=True, databases=DATABASES)

TABLE = PendingInvalidation._meta.db_table


@pytest.fixture
def failures() -> Iterator[list[dict[str, Any]]]:
    """What `invalidation_failed` tells."""
    told: list[dict[str, Any]] = []

    def receiver(**message: Any) -> None:
        told.append(message)

    invalidation_failed.connect(receiver)
    yield told
    invalidation_failed.disconnect(receiver)


def test_each_database_keeps_what_is_written_there(down: Use) -> None:
    with transaction.atomic("default"), transaction.atomic("other"), transaction.atomic("sqlite"):
        for using in DATABASES:
            invalidate(tags=[using], using=using)
    assert {using: targets(using) for using in DATABASES} == {
        using: [{"tags": [using]}] for using in DATABASES
    }
    assert backlog() == 3


def test_where_there_is_no_table_the_default_database_keeps_it(down: Use, only_in) -> None:
    only_in("default")
    with transaction.atomic(using="other"):
        invalidate(tags=["a"], using="other")
    invalidate(tags=["b"], using="sqlite")
    assert targets() == [{"tags": ["a"]}, {"tags": ["b"]}]
    assert all(map(is_due, rows()))
    assert backlog() == 2


def test_a_row_of_another_database_is_not_due_before_the_commit(down: Use, only_in) -> None:
    def look() -> None:
        seen.append([is_due(row) for row in rows()])

    only_in("default")
    seen: list[list[bool]] = []
    with at_commit("other", look), transaction.atomic(using="other"):
        invalidate(tags=["a"], using="other")
    look()
    assert (seen[0], seen[-1]) == ([False], [True])


def test_a_row_of_another_database_goes_if_the_write_is_refused(down: Use, only_in) -> None:
    only_in("default")
    with pytest.raises(Exception, match="violates"), transaction.atomic(using="other"):
        Product.objects.using("other").create(name="a", category_id=-1)
    assert rows() == []


@pytest.mark.parametrize("ends_with", ["COMMIT", "ROLLBACK"])
def test_an_open_transaction_of_the_default_database_has_no_say(
    use: Use, only_in, valkey: ValkeyServer, ends_with: str
) -> None:
    only_in("default")
    use(valkey.url)
    assert names("other") == names("other") == []
    with suspended(valkey), transaction.atomic(using="default"):
        with transaction.atomic(using="other"):
            Product.objects.using("other").create(name="a")
        transaction.set_rollback(ends_with == "ROLLBACK", using="default")
    wait_for(State.WORKING)
    assert names("other") == ["a"]


def test_a_database_without_a_table_is_asked_again_once_it_is_migrated(down: Use, only_in) -> None:
    only_in("default")
    invalidate(tags=["a"], using="other")
    only_in(*DATABASES)
    invalidate(tags=["b"], using="other")
    assert (targets("default"), targets("other")) == ([{"tags": ["a"]}], [{"tags": ["b"]}])


def test_without_any_table_an_invalidation_is_lost_and_told(
    use: Use, only_in, valkey: ValkeyServer, failures, caplog: pytest.LogCaptureFixture
) -> None:
    only_in()
    use(valkey.url)
    with suspended(valkey):
        with transaction.atomic():
            Product.objects.create(name="a")
            invalidate(tags=["t"], keys=["k"], patterns=["p*"])
        invalidate(tags=["u"], using="other")
        lost = [message["invalidation"] for message in failures]
        assert frozenset().union(*(each.tags for each in lost)) >= {"t", "u", "testapp.product"}
        assert (lost[0].keys, lost[0].patterns) == ({"k"}, {"p*"})
        assert [message["using"] for message in failures] == ["default", "other"]
        assert all(f"'{name}'" in caplog.text for name in ("t", "k", "p*", "u"))
    wait_for(State.WORKING)
    found = read_metrics()
    number = sum(len(each.tags) + len(each.keys) + len(each.patterns) for each in lost)
    assert (found["failed_invalidations"], found["pending_invalidations"]) == (number, 0)


def test_without_any_table_nothing_stale_is_served_afterwards(
    use: Use, only_in, valkey: ValkeyServer
) -> None:
    only_in()
    use(valkey.url)
    assert names() == names("other") == []
    with suspended(valkey):
        with transaction.atomic(using="other"):
            Product.objects.using("other").create(name="a")
        Product.objects.create(name="b")
        assert (names(), names("other")) == (["b"], ["a"])
    wait_for(State.WORKING)
    assert (names(), names("other")) == (["b"], ["a"])


@pytest.fixture(params=["since just now", "since ever"])
def no_table(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """There is no table; a process that has seen one still tries to write into it."""
    for using in DATABASES:
        assert has_outbox(connections[using])
        execute(using, f"ALTER TABLE {TABLE} RENAME TO away")
    if request.param == "since ever":
        monkeypatch.setattr(models, "_migrated", set())
    yield
    for using in DATABASES:
        connections[using].close()  # A test that failed may have left it in a transaction.
        execute(using, f"ALTER TABLE away RENAME TO {TABLE}")


@pytest.mark.parametrize("using", ["default", "sqlite"])
def test_without_the_table_no_write_fails_and_nothing_stale_is_served(
    use: Use, valkey: ValkeyServer, using: str, no_table: None
) -> None:
    ran: list[int] = []
    use(valkey.url)
    assert names(using) == names(using) == []
    with suspended(valkey):
        with transaction.atomic(using=using):
            Product.objects.using(using).create(name="a")
            transaction.on_commit(lambda: ran.append(1), using=using)
        Product.objects.using(using).create(name="b")
        execute(using, "UPDATE testapp_product SET stock = 1")
        transaction.set_autocommit(False, using=using)
        Product.objects.using(using).create(name="c")
        transaction.commit(using=using)
        transaction.set_autocommit(True, using=using)
        assert names(using) == ["a", "b", "c"]
    assert ran == [1]
    assert not get_store().breaker.is_working
    wait_for(State.WORKING)
    assert names(using) == ["a", "b", "c"]
