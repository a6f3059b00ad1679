"""Races of `cached` without tags against statements that no signal tells of, forced.

A writer comes at one moment of a call. Whatever the call itself returns, once the writer is done
the next one has to return what the function would return uncached.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from django.db import connections

from cache_invalidation import ModelInvalidation, registry
from cache_invalidation.delivery.fencing import deliver
from cache_invalidation.reads.hints import hints
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import Filling
from cache_invalidation.transactions.batch import Batch
from cache_invalidation.writes import statements
from tests.consistency.recorded import (
    KINDS,
    MOMENTS,
    WRITERS,
    Once,
    Reader,
    before_further_versions,
)
from tests.delivered import update_behind_the_back
from tests.elsewhere import elsewhere
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


class LooksAtValues(ModelInvalidation):
    """In autocommit, statements get a transaction of their own, to read the rows around them."""

    tags = ["name:{name}"]


def by_queryset(using: str, pk: int, name: str) -> None:
    assert Product.objects.using(using).filter(pk=pk).update(name=name) == 1


def by_sql(using: str, pk: int, name: str) -> None:
    with connections[using].cursor() as cursor:
        cursor.execute("UPDATE testapp_product SET name = %s WHERE id = %s", [name, pk])
        assert cursor.rowcount == 1


WAYS: dict[str, Callable[[str, int, str], None]] = {"QuerySet.update": by_queryset, "SQL": by_sql}


@pytest.fixture(params=["no rule", "a rule that looks at values"])
def rule(request: pytest.FixtureRequest) -> Iterator[None]:
    rule = None if request.param == "no rule" else LooksAtValues
    with registry.override(Product, rule):
        yield


def make_reader(kind: str, using: str, has_run: bool, way: str) -> tuple[Reader, int]:
    """Return a reader of `kind`, and the row; with `has_run`, it knows on what it depends."""
    Product.objects.using(using).all().delete()
    pk = Product.objects.using(using).create(name="old").pk
    reader = Reader(KINDS[kind], using, pk)
    if has_run:
        reader()
        assert reader.is_cached(), kind
        WAYS[way](using, pk, "still old")
        assert not reader.is_cached(), kind
    return reader, pk


def race(kind: str, using: str, has_run: bool, way: str, moment: str, writer: str) -> None:
    """Have a writer step in at `moment` of a call; check what is cached afterwards."""
    reader, pk = make_reader(kind, using, has_run, way)
    case = f"{kind}, {'second' if has_run else 'first'} run, {moment}"
    with WRITERS[writer](lambda: WAYS[way](using, pk, "new"), using) as write:
        step_in = Once(write)
        with MOMENTS[moment](using, step_in):
            reader()
        assert step_in.is_done, f"{case}: no such moment"
    assert Product.objects.using(using).get(pk=pk).name == "new", case
    truth = reader.truth()
    assert reader() == truth, f"stale: {case}"
    assert reader() == truth, f"stale the second time: {case}"
    assert reader.is_cached(), f"not cached again: {case}"


def race_at_all(moment: str, using: str, writer: str) -> None:
    kinds = ["two queries"] if moment == "between two queries" else KINDS
    for kind in kinds:
        for way, has_run in zip(WAYS, (False, True), strict=True):
            race(kind, using, has_run, way, moment, writer)


@pytest.mark.parametrize("writer", [*WRITERS, "in a transaction of its own"])
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_statement_in_the_middle_of_a_call_leaves_nothing_stale(
    moment: str, using: str, writer: str
) -> None:
    if writer in WRITERS:
        race_at_all(moment, using, writer)
        return
    with registry.override(Product, LooksAtValues):
        race_at_all(moment, using, "in autocommit")


@pytest.mark.parametrize("moment", MOMENTS)
def test_without_a_writer_all_of_these_calls_are_stored(moment: str, using: str) -> None:
    """Otherwise nothing stale would be left because nothing is left at all."""
    for kind in ["two queries"] if moment == "between two queries" else KINDS:
        for has_run in (False, True):
            reader, pk = make_reader(kind, using, has_run, "SQL")
            with MOMENTS[moment](using, Once(lambda: None)):
                before = reader()
            update_behind_the_back(Product.objects.using(using).filter(pk=pk), name="unseen")
            assert reader() == before != reader.truth(), kind


@pytest.mark.parametrize("cache", ["default", "locmem"])
@pytest.mark.parametrize("writer", WRITERS)
def test_a_statement_between_an_entry_and_its_further_versions_leaves_nothing_stale(
    cache: str, writer: str, settings: Any
) -> None:
    settings.CACHE_INVALIDATION = {"CACHE": cache}
    reader, pk = make_reader("two queries", "default", True, "SQL")
    reader()
    # As in a process where the same call has read other things, so that it asks twice.
    hints[reader.key()] = ("testapp.category", "testapp.category:*")
    assert reader.is_cached()
    with WRITERS[writer](lambda: by_queryset("default", pk, "new"), "default") as write:
        step_in = Once(write)
        with before_further_versions(step_in):
            found = reader()
        assert step_in.is_done, "it did not ask twice"
    assert found[0] == ["still old" if writer == "writes then, and stays open" else "new"]
    truth = reader.truth()
    assert truth[0] == ["new"]
    assert reader() == reader() == truth


@pytest.mark.usefixtures("rule")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("is_after", [False, True], ids=["before the execution", "after it"])
def test_what_others_read_while_a_statement_is_executed_is_not_stale_afterwards(
    using: str, way: str, is_after: bool
) -> None:
    for kind in KINDS:
        for has_run in (False, True):
            reader, pk = make_reader(kind, using, has_run, way)
            read_in_the_middle_of(reader, way, pk, is_after)
            assert reader() == reader() == reader.truth(), kind


def read_in_the_middle_of(reader: Reader, way: str, pk: int, is_after: bool) -> None:
    """Write in this thread, and have `reader` called in another one meanwhile."""
    read = Once(lambda: elsewhere(reader))

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        is_due = sql.startswith("UPDATE") and "new" in (params or ())
        if is_due and not is_after:
            read()
        result = execute(sql, params, many, context)
        if is_due and is_after:
            read()
        return result

    with connections[reader.using].execute_wrapper(wrapper):
        WAYS[way](reader.using, pk, "new")
    assert read.is_done


def sample_late(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the reader take the versions when it stores."""
    kind: Any = type(get_store())
    fill = kind.fill

    def fill_late(self: Any, filling: Filling) -> bool:
        late = self.mint(list(filling.versions), 60)
        return bool(fill(self, replace(filling, versions=late)))

    monkeypatch.setattr(kind, "fill", fill_late)


def deliver_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the writer deliver first, and execute its statement then."""

    def execute(execute: Any, effects: Any, statement: Any, many: bool, context: Any) -> Any:
        batch = Batch(context["connection"].alias, deliver)
        statements._add(batch, effects)
        deliver(batch)
        return execute()

    monkeypatch.setattr(statements, "_execute_fenced", execute)


@pytest.mark.parametrize("moment", list(MOMENTS)[1:])
def test_a_reader_that_samples_late_is_caught(
    moment: str, using: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample_late(monkeypatch)
    if moment == "between sampling and query":
        race_at_all(moment, using, "in autocommit")  # It reads what is new, so it does no harm.
        return
    with pytest.raises(AssertionError, match="stale"):
        race_at_all(moment, using, "in autocommit")


def test_a_writer_that_delivers_early_is_caught(
    using: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver_early(monkeypatch)
    reader, pk = make_reader("row", using, False, "SQL")
    read_in_the_middle_of(reader, "SQL", pk, is_after=False)
    assert reader() == "old" != reader.truth()
