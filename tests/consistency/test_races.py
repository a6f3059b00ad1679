"""Races forced into the one order that hurts, with real threads on real databases."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections, transaction

from cache_invalidation import cached
from cache_invalidation.delivery.fencing import raise_fence
from cache_invalidation.writes import commit, rows
from tests.delivered import update_behind_the_back
from tests.ruled import ByCategory, in_force
from tests.stores.steps import PATIENCE
from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


rule = in_force({Product: ByCategory})


@pytest.fixture(params=["default", "sqlite"])
def database(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Thread(threading.Thread):
    """A thread whose exception is raised where it is joined, and whose connections are closed."""

    def __init__(self, function: Callable[[], Any]) -> None:
        super().__init__(daemon=True)
        self.function = function
        self.error: BaseException | None = None
        self.result: Any = None

    def run(self) -> None:
        try:
            self.result = self.function()
        except BaseException as error:
            self.error = error
        finally:
            connections.close_all()

    def finish(self) -> Any:
        self.join(PATIENCE)
        assert not self.is_alive(), "stuck"
        if self.error:
            raise self.error
        return self.result


@contextmanager
def started(function: Callable[[], Any]) -> Iterator[Thread]:
    thread = Thread(function)
    thread.start()
    yield thread
    thread.finish()


class Gate:
    """A place where one side waits for the other."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def wait(self) -> None:
        self.reached.set()
        assert self.opened.wait(PATIENCE), "nobody opened the gate"

    @contextmanager
    def when_reached(self) -> Iterator[None]:
        assert self.reached.wait(PATIENCE), "nobody came to the gate"
        yield
        self.opened.set()


def names_in(category: Category, database: str) -> list[str]:
    rows = Product.objects.using(database).filter(category_id=category.pk)
    return list(rows.order_by("name").values_list("name", flat=True))


def make_page(database: str, after_query: Callable[[], None] = lambda: None) -> Any:
    @cached(tags=["category:{category_id}"], name=f"page-{database}")
    def page(category_id: int) -> list[str]:
        names = names_in(Category(pk=category_id), database)
        after_query()
        return names

    return page


def make_categories(database: str, *names: str) -> list[Category]:
    return [Category.objects.using(database).create(name=name) for name in names]


def test_a_reader_that_stores_after_the_writer_committed_leaves_nothing_stale(
    database: str,
) -> None:
    (category,) = make_categories(database, "A")
    product = Product.objects.using(database).create(name="old", category=category)
    gate = Gate()
    slow, page = make_page(database, gate.wait), make_page(database)
    with started(lambda: slow(category.pk)) as reader, gate.when_reached():
        product.name = "new"
        product.save()
    assert reader.result == ["old"]
    assert page(category.pk) == ["new"]


def test_a_reader_that_stores_while_the_writer_is_about_to_commit_leaves_nothing_stale(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (category,) = make_categories(database, "A")
    product = Product.objects.using(database).create(name="old", category=category)
    page = make_page(database)
    seen = []

    def fence_then_read(batch: Any, connection: Any) -> Any:
        raised = raise_fence(batch, connection)
        # Another thread: this one's own transaction is dirty, and reads around the cache anyway.
        with started(lambda: seen.append(page(category.pk))):
            pass
        return raised

    monkeypatch.setattr(commit, "raise_fence", fence_then_read)
    product.name = "new"
    product.save()
    assert seen == [["old"]]
    assert page(category.pk) == ["new"]


def test_a_reader_in_a_snapshot_does_not_leave_a_stale_entry_behind(database: str) -> None:
    (category,) = make_categories(database, "A")
    product = Product.objects.using(database).create(name="old", category=category)
    page, gate = make_page(database), Gate()

    def read_in_snapshot() -> list[str]:
        with transaction.atomic(using=database):
            if database == "default":
                with connections[database].cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            assert names_in(category, database) == ["old"]  # The snapshot begins here.
            gate.wait()
            found: list[str] = page(category.pk)
            return found

    with started(read_in_snapshot) as reader, gate.when_reached():
        product.name = "new"
        product.save()
    assert reader.result == ["old"], "the snapshot saw the new row, so this proves nothing"
    assert page(category.pk) == ["new"]


def test_a_reader_in_read_committed_may_store(settings: Any) -> None:
    (category,) = make_categories("default", "A")
    Product.objects.create(name="old", category=category)
    page = make_page("default")
    with transaction.atomic():
        page(category.pk)
    update_behind_the_back(Product.objects.all(), name="unseen")
    assert page(category.pk) == ["old"], "nothing was stored"


def wait_until_blocked(database: str, thread: Thread) -> None:
    """Wait until the other writer waits for a lock; on SQLite, until it had ample time to."""
    for _ in range(int(PATIENCE) * 20):
        if database == "default":
            with connections[database].cursor() as cursor:
                cursor.execute(
                    "SELECT pg_stat_clear_snapshot()"
                )  # It is kept within a transaction.
                cursor.execute("SELECT count(*) FROM pg_stat_activity WHERE wait_event_type='Lock'")
                if cursor.fetchone()[0]:
                    return
        thread.join(0.05 if database == "default" else 0.5)
        if database == "sqlite" and thread.is_alive():
            return
    thread.finish()
    pytest.fail("the second writer never waited for the first")


@pytest.mark.parametrize("mode", ["atomic", "autocommit"])
def test_two_writers_that_move_a_row_from_a_to_b_to_c_leave_all_three_fresh(
    database: str, mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b, c = make_categories(database, "A", "B", "C")
    Product.objects.using(database).create(name="wanderer", category=a)
    page = make_page(database)
    second_has_written = move_from_a_to_c_and_pause_before_commit(database, monkeypatch)
    first = Product.objects.using(database).get()
    second = Product.objects.using(database).get()  # It believes that the row is in A.

    def move_to_c() -> None:
        second.category = c
        if mode == "autocommit":
            second.save()
            return
        with transaction.atomic(using=database):
            second.save()

    with transaction.atomic(using=database):
        first.category = b
        first.save()
        thread = Thread(move_to_c)
        thread.start()
        wait_until_blocked(database, thread)
    with second_has_written.when_reached():
        assert [page(x.pk) for x in (a, b, c)] == [[], ["wanderer"], []]
    thread.finish()
    assert [page(x.pk) for x in (a, b, c)] == [[], [], ["wanderer"]]


def move_from_a_to_c_and_pause_before_commit(
    database: str, monkeypatch: pytest.MonkeyPatch
) -> Gate:
    """Have every thread but this one pause between its write and its fence."""
    gate, here = Gate(), threading.current_thread()

    def fence_later(batch: Any, connection: Any) -> Any:
        if threading.current_thread() is not here:
            gate.wait()
        return raise_fence(batch, connection)

    monkeypatch.setattr(commit, "raise_fence", fence_later)
    return gate


def test_the_race_of_two_writers_is_real(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the lock, the value in the middle is lost; so the test above can fail."""

    def read_without_lock(model: Any, pk: Any, using: str, **kwargs: Any) -> Any:
        return model._base_manager.using(using).filter(pk=pk).first()

    monkeypatch.setattr(rows, "read", read_without_lock)
    with pytest.raises(AssertionError, match="wanderer"):
        test_two_writers_that_move_a_row_from_a_to_b_to_c_leave_all_three_fresh(
            "default", "atomic", monkeypatch
        )


def test_sqlite_writers_wait_for_each_other_instead_of_failing() -> None:
    """Reading the old row first must not turn a write that would have waited into an error."""
    (category,) = make_categories("sqlite", "A")
    products = [
        Product.objects.using("sqlite").create(name=f"{n}", category=category) for n in range(4)
    ]

    def save_often(product: Product) -> None:
        for number in range(15):
            product.stock = number
            product.save()
            with transaction.atomic(using="sqlite"):
                product.save()

    threads = [Thread(lambda p=product: save_often(p)) for product in products]  # type: ignore[misc]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.finish()
    assert set(Product.objects.using("sqlite").values_list("stock", flat=True)) == {14}
