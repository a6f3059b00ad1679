"""Batches: one for each transaction, delivered right after COMMIT, dropped on rollback."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import DatabaseError, IntegrityError, connection, connections, transaction
from django.test import TestCase, override_settings

from cache_invalidation import ModelInvalidation, cached, invalidate
from cache_invalidation.signals import invalidated
from cache_invalidation.stores import get_store
from tests.delivered import Delivered, delivered, update_behind_the_back
from tests.elsewhere import elsewhere
from tests.ruled import in_force
from tests.testapp.models import Category, Counter, Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite", "other"])


@cached(tags=["testapp.category:{pk}"], name="transactions-name")
def name_of(pk: int, using: str = "default") -> str:
    return Category.objects.using(using).get(pk=pk).name


rule = in_force({Category: ModelInvalidation})


@pytest.fixture(params=["default", "sqlite"])
def category(request: pytest.FixtureRequest, deliveries: Delivered) -> Category:
    category = Category.objects.using(request.param).create(name="old")
    assert read(category) == "old"
    deliveries.clear()
    return category


def read(category: Category) -> str:
    return name_of(category.pk, category._state.db or "default")


def atomic(category: Category, **kwargs: Any) -> Any:
    return transaction.atomic(using=category._state.db, **kwargs)


def rename(category: Category, name: str) -> None:
    category.name = name
    category.save()


class Oops(Exception):
    pass


def test_a_save_in_autocommit_is_delivered_when_it_returns(
    category: Category, deliveries: Delivered
) -> None:
    rename(category, "new")
    assert len(deliveries) == 1
    assert read(category) == "new"


def test_all_saves_of_a_transaction_are_delivered_at_once_after_commit(
    category: Category, deliveries: Delivered
) -> None:
    with atomic(category):
        for number in range(5):
            rename(category, f"{number}")
            with atomic(category):
                Category.objects.using(category._state.db).create(name="other")
        assert deliveries == []
    assert len(deliveries) == 1
    assert f"testapp.category:{category.pk}" in deliveries[0].tags
    assert len(deliveries[0].tags) == 7


def test_a_rolled_back_transaction_delivers_nothing(
    category: Category, deliveries: Delivered
) -> None:
    with pytest.raises(Oops), atomic(category):
        rename(category, "never")
        raise Oops
    assert deliveries == []
    assert read(category) == "old"


def test_a_rolled_back_savepoint_publishes_nothing_and_the_rest_is_published_once(
    category: Category, deliveries: Delivered
) -> None:
    using = category._state.db
    never = Category(name="never")
    with atomic(category):
        rename(category, "first")
        with pytest.raises(Oops), atomic(category):
            never.save(using=using)
            raise Oops
        with atomic(category):
            kept = Category.objects.using(using).create(name="kept")
        rename(category, "last")
    assert [d.tags for d in deliveries] == [
        {"testapp.category", f"testapp.category:{category.pk}", f"testapp.category:{kept.pk}"}
    ]
    assert read(category) == "last"


def test_a_savepoint_inside_a_rolled_back_one_publishes_nothing(
    category: Category, deliveries: Delivered
) -> None:
    with atomic(category), pytest.raises(Oops), atomic(category):
        with atomic(category):
            rename(category, "never")
        raise Oops
    assert deliveries == []


def test_a_block_without_savepoint_that_fails_takes_the_transaction_with_it(
    category: Category, deliveries: Delivered
) -> None:
    with pytest.raises(transaction.TransactionManagementError), atomic(category):
        with pytest.raises(Oops), atomic(category, savepoint=False):
            rename(category, "never")
            raise Oops
        rename(category, "refused by Django")
    assert deliveries == []


def test_a_hook_registered_before_the_save_reads_fresh(category: Category) -> None:
    seen = []
    with atomic(category):
        transaction.on_commit(lambda: seen.append(read(category)), using=category._state.db)
        rename(category, "new")
    assert seen == ["new"]


def test_a_hook_that_raises_skips_nothing_of_ours(category: Category) -> None:
    def fail() -> None:
        raise Oops

    with pytest.raises(Oops), atomic(category):
        transaction.on_commit(fail, using=category._state.db)
        rename(category, "new")
    assert read(category) == "new"


def test_a_transaction_sees_its_own_writes_and_leaks_none(category: Category) -> None:
    with pytest.raises(Oops), atomic(category):
        rename(category, "mine")
        assert read(category) == "mine"
        raise Oops
    assert read(category) == "old"


def test_a_transaction_that_wrote_something_else_still_hits(category: Category) -> None:
    with atomic(category):
        Product.objects.using(category._state.db).create(name="unrelated")
        row = Category.objects.using(category._state.db).filter(pk=category.pk)
        update_behind_the_back(row, name="unseen")
        assert read(category) == "old", "it was computed, not read from the cache"
        transaction.set_rollback(True, using=category._state.db)


def test_a_transaction_managed_by_hand_delivers_at_commit(
    category: Category, deliveries: Delivered
) -> None:
    connection = connections[category._state.db or "default"]
    connection.set_autocommit(False)
    try:
        rename(category, "undone")
        connection.rollback()
        assert deliveries == []
        rename(category, "new")
        assert read(category) == "new"
        connection.commit()
        seen = elsewhere(lambda: read(category))
        rename(category, "newer")
        connection.commit()
    finally:
        connection.rollback()
        connection.set_autocommit(True)
    assert seen == "new"
    assert read(category) == "newer"
    assert len(deliveries) == 2


def test_atomic_inside_of_a_transaction_managed_by_hand_waits_for_the_commit_of_the_database(
    category: Category, deliveries: Delivered
) -> None:
    connection = connections[category._state.db or "default"]
    connection.set_autocommit(False)
    try:
        with atomic(category):
            rename(category, "new")
            assert deliveries == []
        # SQLite has not begun a transaction but for this block, and commits it.
        assert len(deliveries) == (connection.vendor == "sqlite")
        connection.commit()
    finally:
        connection.set_autocommit(True)
    assert len(deliveries) == 1
    assert read(category) == "new"


def test_threads_have_batches_of_their_own(category: Category, deliveries: Delivered) -> None:
    if category._state.db == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    other = Category.objects.create(name="other")
    deliveries.clear()
    with atomic(category):
        rename(category, "new")
        elsewhere(lambda: rename(other, "newer"))
        assert [f"testapp.category:{other.pk}" in d.tags for d in deliveries] == [True]
    assert len(deliveries) == 2


def test_each_database_has_a_batch_of_its_own(deliveries: Delivered) -> None:
    with pytest.raises(Oops), transaction.atomic(using="other"):
        with transaction.atomic():
            Category.objects.create(name="kept")
            Category.objects.using("other").create(name="lost")
        assert len(deliveries) == 1
        raise Oops
    assert len(deliveries) == 1


def test_a_commit_that_the_database_refuses_delivers_nothing(deliveries: Delivered) -> None:
    category = Category.objects.create(name="old")
    assert name_of(category.pk) == "old"
    deliveries.clear()
    with pytest.raises(IntegrityError), transaction.atomic():
        rename(category, "never")
        Product.objects.create(name="orphan", category_id=-1)  # Checked at COMMIT.
    assert deliveries == []
    assert name_of(category.pk) == "old"
    update_behind_the_back(Category.objects.filter(pk=category.pk), name="unseen")
    assert name_of(category.pk) == "old", "the fence of the refused COMMIT was not lifted"


def test_a_connection_lost_in_commit_keeps_its_fence(monkeypatch: pytest.MonkeyPatch) -> None:
    category = Category.objects.create(name="old")
    name_of(category.pk)
    with pytest.raises(DatabaseError), transaction.atomic():
        rename(category, "perhaps")
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_backend_pid()")
            pid = cursor.fetchone()[0]
        elsewhere(lambda: terminate(pid))
    tag = f"testapp.category:{category.pk}"
    assert str(get_store().versions([tag])[tag]).startswith("!")
    assert name_of(category.pk) == "old"


def terminate(pid: int) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def test_invalidate_joins_the_open_transaction_or_acts_at_once(deliveries: Delivered) -> None:
    with transaction.atomic():
        invalidate(tags=["one"])
        assert deliveries == []
    assert [d.tags for d in deliveries] == [{"one"}]
    invalidate(tags=["two"])
    assert [d.tags for d in deliveries] == [{"one"}, {"two"}]


def test_an_observer_may_use_the_database(category: Category) -> None:
    def observe(using: str, **kwargs: Any) -> None:
        with transaction.atomic(using=using):
            Counter.objects.using(using).create(name=f"seen {Counter.objects.using(using).count()}")

    with observing(observe):
        rename(category, "new")
        with atomic(category):
            rename(category, "newer")
    assert Counter.objects.using(category._state.db).count() == 2


@contextmanager
def observing(observe: Callable[..., None]) -> Iterator[None]:
    invalidated.connect(observe)
    try:
        yield
    finally:
        invalidated.disconnect(observe)


@pytest.mark.parametrize("block", [nullcontext, transaction.atomic], ids=["autocommit", "atomic"])
def test_what_an_observer_writes_is_invalidated_and_not_announced_again(
    category: Category, deliveries: Delivered, block: Callable[..., Any]
) -> None:
    using = category._state.db or "default"
    computed: list[int] = []

    @cached(tags=[Counter], name="transactions-counters")
    def counters() -> int:
        computed.append(Counter.objects.using(using).count())
        return computed[-1]

    def observe(using: str, **kwargs: Any) -> None:
        with block(using):
            Counter.objects.using(using).create(name=f"seen {counters()}")

    assert counters() == 0
    with observing(observe):
        rename(category, "new")
        assert counters() == 1
        with atomic(category):
            rename(category, "newer")
            assert counters() == 1
        assert counters() == 2
    assert counters() == 2
    assert computed[-2:] == [1, 2], "a fence was left standing"
    assert not any("testapp.counter" in delivery.tags for delivery in deliveries)
    Counter.objects.using(using).create(name="afterwards")
    assert "testapp.counter" in deliveries[-1].tags


def test_async_saves_are_delivered(deliveries: Delivered) -> None:
    async def write() -> None:
        category = await Category.objects.acreate(name="old")
        category.name = "new"
        await category.asave()
        await Category.objects.aupdate_or_create(pk=category.pk, defaults={"name": "newer"})
        await category.adelete()

    async_to_sync(write)()
    assert len(deliveries) == 4


def test_many_tags_of_a_family_are_delivered_as_the_family(deliveries: Delivered) -> None:
    with override_settings(CACHE_INVALIDATION={"ROW_TAG_LIMIT": 3}), transaction.atomic():
        categories = [Category.objects.create(name=f"{n}") for n in range(4)]
    assert deliveries[0].tags == {"testapp.category", "testapp.category:*"}
    pk = categories[0].pk
    name_of(pk)
    update_behind_the_back(Category.objects.filter(pk=pk), name="unseen")
    assert name_of(pk) == "0"
    invalidate(tags=["testapp.category:*"])
    assert name_of(pk) == "unseen"


class InTestCase(TestCase):
    """Where there is no COMMIT, `captureOnCommitCallbacks` stands in for it."""

    def test_captured_hooks_deliver(self) -> None:
        with delivered() as found:
            with self.captureOnCommitCallbacks(execute=True):
                category = Category.objects.create(name="old")
                assert name_of(category.pk) == "old"
            with self.captureOnCommitCallbacks(execute=True):
                rename(category, "new")
            assert len(found) == 2
            assert name_of(category.pk) == "new"
            with self.captureOnCommitCallbacks(execute=False) as callbacks:
                rename(category, "newer")
            assert len(callbacks) == 1
            assert len(found) == 2
