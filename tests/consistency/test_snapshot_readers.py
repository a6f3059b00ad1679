"""Readers that see the database as it was: what they compute is not stored under new versions.

The snapshot begins before the write, and what is read in it is computed after the write.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from contextvars import copy_context
from functools import partial
from itertools import product
from typing import Any

import pytest
from django.db import connections, transaction

from cache_invalidation import cached, registry
from cache_invalidation.reads import protocol, recorders
from tests.consistency.recorded import KINDS, WRITERS, Reader
from tests.elsewhere import elsewhere
from tests.ruled import ByName
from tests.stores.steps import PATIENCE
from tests.testapp.models import Product, Tag

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

USING = {
    "REPEATABLE READ": "default",
    "SERIALIZABLE": "default",
    "by default of the session": "default",
    "SQLite": "sqlite",
}


def look(using: str) -> None:
    """Have the snapshot begin; that is with the first query, not with the transaction."""
    Tag.objects.using(using).count()


@contextmanager
def snapshot(level: str) -> Iterator[None]:
    using = USING[level]
    execute = connections[using].cursor().execute
    if level == "by default of the session":
        execute("SET default_transaction_isolation = 'repeatable read'")
    try:
        with transaction.atomic(using=using):
            if level in ("REPEATABLE READ", "SERIALIZABLE"):
                execute(f"SET TRANSACTION ISOLATION LEVEL {level}")
            look(using)
            yield
    finally:
        if level == "by default of the session":
            execute("RESET default_transaction_isolation")


@contextmanager
def snapshot_elsewhere(level: str) -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """Hold a snapshot in another thread; yield what calls a function there, for who asks for it."""
    with ExitStack() as stack:
        pool = stack.enter_context(ThreadPoolExecutor(1))

        def run(function: Callable[..., Any], *args: Any) -> Any:
            return pool.submit(function, *args).result(PATIENCE)

        stack.callback(run, connections.close_all)
        block = snapshot(level)
        run(block.__enter__)
        stack.callback(run, block.__exit__, None, None, None)
        yield lambda function: run(copy_context().run, function)


def rename(using: str, pk: int, name: str = "new") -> None:
    assert Product.objects.using(using).filter(pk=pk).update(name=name) == 1


def make_reader(kind: str, using: str, has_run: bool) -> tuple[Reader, int]:
    Product.objects.using(using).all().delete()
    pk = Product.objects.using(using).create(name="old").pk
    reader = Reader(KINDS[kind], using, pk)
    if has_run:
        reader()
        rename(using, pk, "still old")
    assert not reader.is_cached()
    return reader, pk


def check(reader: Reader, case: str) -> None:
    truth = reader.truth()
    assert "new" in str(truth), case
    assert reader() == reader() == truth, f"stale: {case}"
    assert reader.is_cached(), case


@pytest.mark.parametrize("has_run", [False, True], ids=["first run", "second run"])
@pytest.mark.parametrize("writer", [*WRITERS][:2])
@pytest.mark.parametrize("level", USING)
def test_what_a_snapshot_shows_is_not_stored(level: str, writer: str, has_run: bool) -> None:
    using = USING[level]
    for kind in KINDS:
        reader, pk = make_reader(kind, using, has_run)
        with WRITERS[writer](partial(rename, using, pk), using) as write, snapshot(level):
            write()
            assert "old" in str(reader()), f"{kind}: it saw the new row, so this proves nothing"
            assert not reader.is_cached(), kind
        check(reader, kind)


@pytest.mark.parametrize("level", USING)
def test_nor_after_a_write_in_a_transaction_of_its_own(level: str) -> None:
    with registry.override(Product, ByName):
        test_what_a_snapshot_shows_is_not_stored(level, "in autocommit", True)


@pytest.mark.parametrize("has_run", [False, True], ids=["first run", "second run"])
@pytest.mark.parametrize("level", ["REPEATABLE READ", "SQLite"])
def test_what_a_function_computes_in_a_snapshot_of_its_own_is_not_stored_if_it_is_old(
    level: str, has_run: bool
) -> None:
    """With what it calls: a cached function that is called in the snapshot hands up its tags."""
    using = USING[level]
    for kind, is_nested in product(KINDS, (False, True)):
        inner, pk = make_reader(kind, using, has_run=False)
        compute = inner if is_nested else inner.truth
        writes: list[Callable[[], None]] = [] if has_run else [partial(rename, using, pk)]
        outer = Reader(partial(in_snapshot, level, compute, writes), using, pk)
        if has_run:
            outer()
            rename(using, pk, "still old")
            writes.append(partial(rename, using, pk))
        assert "old" in str(outer()), f"{kind}: it saw the new row, so this proves nothing"
        assert not writes
        case = f"{kind}, nested: {is_nested}"
        check(inner, case)
        assert outer() == outer() == outer.truth(), f"stale: {case}"
        assert outer.is_cached(), case


def in_snapshot(
    level: str, compute: Callable[[], Any], writes: list[Callable[[], None]], *args: Any
) -> Any:
    with snapshot(level):
        while writes:
            elsewhere(writes.pop())
        return compute()


@pytest.mark.parametrize("level", ["REPEATABLE READ", "SQLite"])
def test_a_reader_that_does_not_notice_its_snapshot_is_caught(
    level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "sees_snapshot", lambda: False)
    monkeypatch.setattr(recorders, "is_snapshot", lambda connection: False)
    with pytest.raises(AssertionError, match=r"is_cached|stale"):
        test_what_a_snapshot_shows_is_not_stored(level, "in autocommit", False)
    with pytest.raises(AssertionError, match="stale"):
        test_what_a_function_computes_in_a_snapshot_of_its_own_is_not_stored_if_it_is_old(
            level, False
        )


@pytest.mark.parametrize("has_run", [True, False], ids=["known", "unknown"])
@pytest.mark.parametrize("level", USING)
def test_nor_what_is_read_in_a_thread_whose_snapshot_began_before_the_call(
    level: str, has_run: bool
) -> None:
    using = USING[level]
    pk = Product.objects.using(using).create(name="old").pk
    there: list[Callable[[Callable[[], Any]], Any]] = []

    @cached(name="snapshots.name_by_a_thread")
    def name() -> str:
        read = partial(Product.objects.using(using).values_list("name", flat=True).get, pk=pk)
        return str(there[0](read) if there else read())

    if has_run:  # So it is known on what it depends, and the versions are asked for before it.
        assert name() == name() == "old"
    with snapshot_elsewhere(level) as run:
        there.append(run)
        rename(using, pk)
        assert name() == "old", "it saw the new row, so this proves nothing"
        there.clear()
    assert name() == "new"
