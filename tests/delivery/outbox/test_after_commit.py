"""The store fails, or is back, between COMMIT and the delivery; and what a project may choose."""

import logging
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection, transaction

from cache_invalidation import invalidate
from cache_invalidation.exceptions import InvalidationAborted
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.models import PendingInvalidation
from cache_invalidation.signals import invalidated, invalidation_failed
from cache_invalidation.stores import get_store
from cache_invalidation.stores.breaker import State
from example_project.servers import ValkeyServer
from tests.cursors import execute
from tests.delivery.outbox.rows import at_commit, is_due, names, rows, targets
from tests.elsewhere import elsewhere
from tests.outages import Use, suspended, wait_for
from tests.testapp.models import Product

DATABASES = ["default", "other", "sqlite"]

pytestmark = pytest.mark.django_db(transaction=True)

everywhere = pytest.mark.django_db(transaction=True, databases=DATABASES)


@pytest.fixture
def told() -> Iterator[list[str]]:
    """The names of what is told, as `invalidated` and `invalidation_failed` say it."""
    told: list[str] = []

    def on_success(invalidation: Any, **message: Any) -> None:
        told.extend(f"delivered {name}" for name in sorted(invalidation.tags))

    def on_failure(invalidation: Any, **message: Any) -> None:
        told.extend(f"lost {name}" for name in sorted(invalidation.tags))

    invalidated.connect(on_success)
    invalidation_failed.connect(on_failure)
    yield told
    invalidated.disconnect(on_success)
    invalidation_failed.disconnect(on_failure)


@everywhere
@pytest.mark.parametrize("using", ["default", "sqlite"])
def test_a_row_goes_if_the_store_is_back_right_after_commit(
    use: Use, redis_url: str, down: Use, using: str, told: list[str]
) -> None:
    def come_back() -> None:
        if get_store().breaker.is_working:
            return  # COMMIT of the delivery itself.
        kept.append(len(elsewhere(lambda: rows(using))))
        use(redis_url)

    kept: list[int] = []
    with at_commit(using, come_back, after=True), transaction.atomic(using=using):
        invalidate(tags=["a"], using=using)
    assert kept == [1]
    assert elsewhere(lambda: rows(using)) == []
    assert told == ["delivered a"]
    assert read_metrics()["tag_invalidations"] == 1


def test_plain_keys_and_patterns_that_the_store_misses_after_commit_are_kept(
    use: Use, valkey: ValkeyServer
) -> None:
    use(valkey.url)
    with at_commit("default", valkey.kill), transaction.atomic():
        invalidate(tags=["fenced"], keys=["k"], patterns=["p*"], entity_type="page")
        names.invalidate("default")
    (row,) = elsewhere(rows)
    assert (row.targets["keys"], row.targets["patterns"]) == (["k"], ["p*"])
    assert row.targets["tags"] == ["fenced"], "in case the server forgets the fence"
    assert is_due(row)


def test_keys_in_autocommit_are_kept(down: Use) -> None:
    invalidate(keys=["k"])
    assert targets() == [{"keys": ["k"]}]


def test_what_is_fenced_waits_as_well_in_case_the_server_forgets_the_fence(
    use: Use, valkey: ValkeyServer
) -> None:
    use(valkey.url)
    with at_commit("default", valkey.kill), transaction.atomic():
        invalidate(tags=["a", "b"])
    assert targets() == [{"tags": ["a", "b"]}]


@everywhere
@pytest.mark.parametrize("keys", [[], ["k"]])
def test_what_waits_is_counted_as_if_the_store_had_never_failed(
    use: Use, valkey: ValkeyServer, keys: list[str]
) -> None:
    use(valkey.url)
    with at_commit("default", valkey.kill), transaction.atomic():
        invalidate(tags=["a", "b"], keys=keys, entity_type="page")
    valkey.start()
    wait_for(State.WORKING)
    found = read_metrics()
    assert found["invalidations_by_entity_type"] == {"page": 1}
    assert (found["tag_invalidations"], found["key_invalidations"]) == (2, len(keys))
    assert found["failed_invalidations"] == 0


def test_without_fences_everything_is_kept_once_it_is_committed(
    use: Use, valkey: ValkeyServer
) -> None:
    use(valkey.url, CONSISTENCY="commit")
    seen: list[int] = []
    with at_commit("default", lambda: seen.append(len(rows()))):
        with at_commit("default", valkey.kill), transaction.atomic():
            invalidate(tags=["a"], keys=["k"])
        assert targets() == [{"tags": ["a"], "keys": ["k"]}]
        with transaction.atomic():
            invalidate(tags=["b"])
    assert targets()[1:] == [{"tags": ["b"]}]
    assert seen[0] == 0
    assert 2 in seen, "the store is known to be down, so the row goes with the transaction"
    assert connection.get_autocommit()


@everywhere
@pytest.mark.parametrize("consistency", ["strict", "commit"])
def test_nothing_stale_is_served_after_it_failed_in_the_middle(
    use: Use, valkey: ValkeyServer, consistency: str
) -> None:
    use(valkey.url, CONSISTENCY=consistency)
    assert names() == names() == []
    with at_commit("default", valkey.kill), transaction.atomic():
        Product.objects.create(name="a")
    assert names() == ["a"]
    valkey.start()
    wait_for(State.WORKING)
    assert names() == names() == ["a"]


def test_a_write_that_is_aborted_leaves_no_row(down: Use) -> None:
    down(ON_STORE_FAILURE="abort")
    for _ in range(2):
        with pytest.raises(InvalidationAborted), transaction.atomic():
            Product.objects.create(name="a")
        with pytest.raises(InvalidationAborted):
            Product.objects.create(name="a")
    assert (rows(), Product.objects.count()) == ([], 0)


def test_what_an_aborting_project_has_committed_is_kept_if_it_is_missed_afterwards(
    use: Use, valkey: ValkeyServer
) -> None:
    use(valkey.url, ON_STORE_FAILURE="abort")
    with at_commit("default", valkey.kill), transaction.atomic():
        invalidate(keys=["k"])
    assert targets() == [{"keys": ["k"]}]


@everywhere
def test_a_failure_that_is_ignored_leaves_no_row_and_nothing_stale(
    use: Use, valkey: ValkeyServer, told: list[str]
) -> None:
    use(valkey.url, ON_STORE_FAILURE="ignore")
    assert names() == names() == []
    with suspended(valkey):
        with transaction.atomic():
            Product.objects.create(name="a")
        Product.objects.create(name="b")
        Product.objects.update(stock=1)
        assert rows() == []
    assert "lost testapp.product" in told
    wait_for(State.WORKING)
    assert names() == names() == ["a", "b"]


def test_hooks_of_the_project_run_after_the_row_is_visible(down: Use) -> None:
    seen: list[int] = []
    with transaction.atomic():
        transaction.on_commit(lambda: seen.append(len(elsewhere(rows))))
        invalidate(tags=["a"])
        with transaction.atomic():
            transaction.on_commit(lambda: seen.append(len(elsewhere(rows))))
    assert seen == [1, 1]
    assert connection.get_autocommit()


def test_nobody_is_told_that_what_waits_was_delivered_or_lost(down: Use, told: list[str]) -> None:
    invalidate(tags=["a"])
    with transaction.atomic():
        invalidate(tags=["b"], keys=["k"], patterns=["p*"])
    assert told == []
    assert len(rows()) == 2


def test_the_log_has_one_error_for_an_outage_however_many_write(
    down: Use, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING, "cache_invalidation")
    for number in range(20):
        Product.objects.create(name=str(number))
        with transaction.atomic():
            Product.objects.update(stock=number)
        invalidate(keys=["k"], patterns=["p*"])
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert PendingInvalidation.objects.count() == 60


def test_a_cache_that_is_not_configured_is_an_outage_as_well(
    down: Use, caplog: pytest.LogCaptureFixture
) -> None:
    down(CACHE="nowhere, for this test")
    for _ in range(3):
        with transaction.atomic():
            invalidate(tags=["a"])
    assert targets() == [{"tags": ["a"]}] * 3
    assert [record.levelname for record in caplog.records].count("ERROR") == 1


@everywhere
def test_a_statement_that_outlives_the_delay_of_its_row_is_told_again(
    use: Use, valkey: ValkeyServer
) -> None:
    """Somebody else has delivered the row, before what it is about was committed."""

    def deliver_early(execute: Any, sql: str, *args: Any) -> Any:
        if sql.startswith("UPDATE testapp_product"):
            PendingInvalidation.objects.all().delete()
        return execute(sql, *args)

    use(valkey.url)
    Product.objects.create(name="a")
    assert names() == names() == ["a"]
    with suspended(valkey), connection.execute_wrapper(deliver_early):
        execute("default", "UPDATE testapp_product SET name = 'b'")
    wait_for(State.WORKING)
    assert names() == ["b"]
