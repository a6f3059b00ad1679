"""When the versions are sampled that a recorded value is stored under, and when it is not."""

from typing import Any

import pytest
from django.db import connection, connections, transaction

from cache_invalidation import cached, no_invalidation
from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.observing.watcher import recorder
from cache_invalidation.stores import get_store
from tests.delivered import update_behind_the_back
from tests.elsewhere import elsewhere
from tests.testapp.models import Category, Tag

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


@pytest.fixture
def categories(using):
    Category.objects.using(using).create(name="old")
    return Category.objects.using(using)


def make_reader(using, name, before=lambda: None, after=lambda: None):
    @cached(name=f"{name} {using}")
    def read():
        before()
        found = list(Category.objects.using(using).values_list("name", flat=True))
        after()
        return found

    return read


class Once:
    """Does something when it is first called."""

    def __init__(self, action):
        self.actions = [action]

    def __call__(self):
        while self.actions:
            self.actions.pop()()


def is_stored(read, rows, expected):
    """Whether `read` comes from the cache."""
    assert read() == expected
    update_behind_the_back(rows.all(), name="unseen")
    return read() == expected


@pytest.mark.parametrize("is_second", [False, True], ids=["first run", "second run"])
def test_what_is_written_between_the_query_and_the_store_is_noticed(using, categories, is_second):
    write = Once(lambda: elsewhere(lambda: categories.update(name="new")))
    steps = [lambda: None] if is_second else []
    read = make_reader(
        using, f"written after {is_second}", after=lambda: (steps.pop() if steps else write)()
    )
    if is_second:
        assert read() == ["old"]
        Category.objects.using(using).create(name="another").delete()
    assert read() == ["old"]
    assert read() == ["new"]


def test_what_is_written_between_two_queries_is_noticed(using, categories):
    write = Once(lambda: elsewhere(lambda: categories.update(name="new")))

    @cached(name=f"two queries {using}")
    def read():
        first = categories.count()
        write()
        return [first, categories.get().name, Tag.objects.using(using).count()]

    assert read() == [1, "new", 0]
    categories.update(name="newer")
    assert read() == [1, "newer", 0]


def test_what_is_written_before_the_query_does_no_harm(using, categories):
    write = Once(lambda: elsewhere(lambda: categories.update(name="new")))
    read = make_reader(using, "written before", before=write)
    assert is_stored(read, categories, ["new"])


def test_what_is_read_while_a_write_is_in_flight_is_not_stored(using, categories):
    read = make_reader(using, "in flight")

    def look_first(execute, sql, params, many, context):
        if sql.startswith("UPDATE"):
            assert elsewhere(read) == ["old"]
        return execute(sql, params, many, context)

    with connections[using].execute_wrapper(look_first):
        categories.update(name="new")
    assert read() == ["new"]


def test_a_transaction_that_has_written_stores_nothing(using, categories):
    read = make_reader(using, "dirty")
    with pytest.raises(ZeroDivisionError), transaction.atomic(using=using):
        categories.update(name="new")
        assert read() == read() == ["new"]
        raise ZeroDivisionError
    assert read() == ["old"]
    with pytest.raises(ZeroDivisionError), transaction.atomic(using=using):
        with connections[using].cursor() as cursor:
            cursor.execute("UPDATE testapp_category SET name = 'new'")
        assert read() == ["new"]
        raise ZeroDivisionError
    assert read() == ["old"]
    with pytest.raises(ZeroDivisionError), transaction.atomic(using=using):
        with no_invalidation():
            categories.update(name="new")
        assert read() == ["new"]
        raise ZeroDivisionError
    assert read() == ["old"]


def test_a_savepoint_that_is_rolled_back_leaves_nothing(using, categories):
    read = make_reader(using, "savepoint")
    with transaction.atomic(using=using):
        with pytest.raises(ZeroDivisionError), transaction.atomic(using=using):
            categories.update(name="new")
            assert read() == ["new"]
            raise ZeroDivisionError
        assert read() == ["old"]
    assert read() == ["old"]


@pytest.mark.parametrize("by", ["the caller", "the function"])
def test_a_snapshot_that_is_older_than_the_versions_stores_nothing_stale(using, by):
    Category.objects.using(using).create(name="old")
    write = Once(lambda: elsewhere(lambda: Category.objects.using(using).update(name="new")))

    def in_snapshot(compute):
        with transaction.atomic(using=using):
            if using == "default" and connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            Tag.objects.using(using).count()  # The snapshot begins here.
            write()
            return compute()

    def names():
        return list(Category.objects.using(using).values_list("name", flat=True))

    @cached(name=f"in a snapshot of {by} {using}")
    def read():
        return in_snapshot(names) if by == "the function" else names()

    first = in_snapshot(read) if by == "the caller" else read()
    assert first == ["old"], "the snapshot saw the new row, so this proves nothing"
    assert read() == ["new"]
    assert read() == ["new"]


def test_a_function_that_opens_a_snapshot_is_stored_once_it_is_known_what_it_reads(using):
    rows = Category.objects.using(using)
    rows.create(name="old")

    @cached(name=f"atomic by itself {using}")
    def read():
        with transaction.atomic(using=using):
            if using == "default" and connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
            return list(rows.values_list("name", flat=True))

    assert read() == ["old"]
    assert is_stored(read, rows, ["old"])
    rows.update(name="new")
    assert read() == ["new"]


def test_a_snapshot_that_is_begun_by_a_statement_stores_nothing_stale(using, categories):
    read = make_reader(using, "begun by hand")
    with connections[using].cursor() as cursor:
        is_server = connections[using].vendor == "postgresql"
        cursor.execute("BEGIN ISOLATION LEVEL REPEATABLE READ" if is_server else "BEGIN")
        cursor.execute("SELECT count(*) FROM testapp_tag")
        elsewhere(lambda: categories.update(name="new"))
        assert read() == ["old"]
        cursor.execute("COMMIT")
    assert read() == ["new"]


def test_a_function_that_writes_does_not_serve_what_was_before(using, categories):
    @cached(name=f"writes {using}")
    def read(is_atomic):
        before = categories.get().name
        if is_atomic:
            with transaction.atomic(using=using):
                categories.update(name=f"{before}!")
        else:
            categories.update(name=f"{before}!")
        return categories.get().name

    assert read(False) == "old!"
    assert read(False) == "old!!"
    assert read(True) == "old!!!"
    assert read(True) == "old!!!!"
    update_behind_the_back(categories.all(), name="new")
    assert read(True) == "new!"


@pytest.mark.parametrize("failing", ["lookup", "mint", "encode", "fill"])
def test_a_cache_that_goes_down_meanwhile_costs_the_stored_value_only(
    using, categories, failing, monkeypatch
):
    def down(self, *args, **kwargs):
        raise StoreUnavailable("down")

    read = make_reader(using, f"down in {failing}")
    with monkeypatch.context() as patch:
        patch.setattr(type(get_store()), failing, down)
        assert read() == ["old"]
        categories.update(name="new")
        assert read() == ["new"]
    assert is_stored(read, categories, ["new"])
    categories.update(name="newer")
    assert read() == ["newer"]


def test_two_threads_of_one_computation_agree_on_what_they_saw(using, categories):
    """Both need the version of one tag; the second gets it after a write that the first missed."""

    @cached(name=f"two threads {using}")
    def read():
        computation: Any = recorder.get()
        found = list(Category.objects.using(using).values_list("name", flat=True))
        categories.update(name="new")
        computation._sample({"testapp.category"}, set(), connections[using])
        return found

    assert read() == ["old"]
    assert read() == ["new"]
