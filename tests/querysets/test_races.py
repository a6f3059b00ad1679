"""Races of cached queries against a writer who comes at the worst moment, forced.

Whatever is returned in the middle of a race, once the writer is done everybody has to get what
there is.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from django.db import connections, transaction
from django.test import override_settings

from cache_invalidation.delivery.fencing import raise_fence
from cache_invalidation.querysets import uncached_queries
from cache_invalidation.surfaces.querysets import wanted
from cache_invalidation.writes import commit
from tests.consistency.recorded import KINDS, MOMENTS, WRITERS, Once
from tests.consistency.test_snapshot_readers import snapshot
from tests.consistency.test_statement_races import sample_late
from tests.elsewhere import elsewhere
from tests.querysets.asking import both, is_cached, statements
from tests.testapp.models import Product

pytestmark = both

LEVELS = {"REPEATABLE READ": "default", "SQLite": "sqlite"}


@pytest.fixture(autouse=True)
def all_queries() -> Iterator[None]:
    with override_settings(CACHE_INVALIDATION={"QUERIES": {"*": None}}):
        yield


def read(kind: str, using: str, pk: int) -> Any:
    found = KINDS[kind](using, pk)
    return found if isinstance(found, str | dict | list) else list(found)


def rename(using: str, pk: int, name: str = "new") -> None:
    assert Product.objects.using(using).filter(pk=pk).update(name=name) == 1


def make(kind: str, using: str, has_run: bool = True) -> int:
    Product.objects.using(using).all().delete()
    pk = Product.objects.using(using).create(name="old").pk
    if has_run:
        assert is_cached(using, partial(read, kind, using, pk)), kind
        rename(using, pk, "still old")
    return pk


def check(kind: str, using: str, pk: int, case: str) -> None:
    with uncached_queries():
        truth = read(kind, using, pk)
    assert "new" in str(truth), case
    assert read(kind, using, pk) == truth, f"stale: {case}"
    assert read(kind, using, pk) == truth, f"stale the second time: {case}"
    with statements(using, 0):
        assert read(kind, using, pk) == truth, f"stale: {case}"


def race(kind: str, using: str, moment: str, writer: str, has_run: bool) -> None:
    pk = make(kind, using, has_run)
    case = f"{kind}, {'second' if has_run else 'first'} run, {moment}"
    with WRITERS[writer](partial(rename, using, pk), using) as write:
        step_in = Once(write)
        with MOMENTS[moment](using, step_in):
            read(kind, using, pk)
        assert step_in.is_done or moment == "between two queries", f"{case}: no such moment"
    check(kind, using, pk, case)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_write_in_the_middle_of_a_query_leaves_nothing_stale(
    moment: str, using: str, writer: str
) -> None:
    for kind in KINDS:
        if moment == "between two queries" and kind != "two queries":
            continue
        for has_run in (False, True):
            race(kind, using, moment, writer, has_run)


@pytest.mark.parametrize("is_after", [False, True], ids=["before the fence", "after it"])
def test_who_asks_while_a_writer_is_about_to_commit_leaves_nothing_stale(
    using: str, is_after: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in KINDS:
        pk = make(kind, using)
        seen: list[Any] = []

        def fence_and_ask(batch: Any, connection: Any, ask: Any) -> Any:
            if not is_after:
                elsewhere(ask)
            raised = raise_fence(batch, connection)
            if is_after:
                elsewhere(ask)
            return raised

        ask = partial(lambda kind, pk, seen: seen.append(read(kind, using, pk)), kind, pk, seen)
        with monkeypatch.context() as patch:
            patch.setattr(commit, "raise_fence", partial(fence_and_ask, ask=ask))
            with transaction.atomic(using=using):
                rename(using, pk)
        assert "still old" in str(seen), kind
        check(kind, using, pk, kind)


@pytest.mark.parametrize("level", LEVELS)
def test_what_a_snapshot_shows_is_not_stored(level: str) -> None:
    using = LEVELS[level]
    for kind in KINDS:
        pk = make(kind, using)
        with snapshot(level):
            elsewhere(partial(rename, using, pk))
            found = read(kind, using, pk)
            assert "still old" in str(found), f"{kind}: it saw the new row; this proves nothing"
        check(kind, using, pk, kind)


@pytest.mark.parametrize("level", LEVELS)
def test_what_others_have_stored_meanwhile_is_not_shown_in_a_snapshot(level: str) -> None:
    using = LEVELS[level]
    for kind in KINDS:
        pk = make(kind, using)
        with snapshot(level):
            elsewhere(partial(rename, using, pk))
            elsewhere(partial(check, kind, using, pk, kind))
            assert "still old" in str(read(kind, using, pk)), kind


def test_what_a_transaction_has_written_is_shown_to_nobody_else(using: str) -> None:
    for kind in KINDS:
        pk = make(kind, using)
        before = read(kind, using, pk)
        with transaction.atomic(using=using):
            rename(using, pk, "undone")
            assert "undone" in str(read(kind, using, pk)), f"stale: {kind}"
            assert elsewhere(partial(read, kind, using, pk)) == before, f"leaked: {kind}"
            transaction.set_rollback(True, using=using)
        connections[using].close()
        assert read(kind, using, pk) == read(kind, using, pk) == before, kind


def test_a_savepoint_that_is_rolled_back(using: str) -> None:
    pk = make("list", using)
    with transaction.atomic(using=using):
        with transaction.atomic(using=using):
            rename(using, pk, "undone")
            assert read("list", using, pk) == ["undone"]
            transaction.set_rollback(True, using=using)
        assert read("list", using, pk) == ["still old"]
        rename(using, pk)
        assert read("list", using, pk) == ["new"]
    check("list", using, pk, "after it")


# What each of these breaks has to be found; so the tests above can fail.


@pytest.mark.parametrize("moment", ["between query and fetching", "just before the store"])
def test_versions_that_are_sampled_late_are_found(
    moment: str, using: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample_late(monkeypatch)
    with pytest.raises(AssertionError, match="stale"):
        race("list", using, moment, "in autocommit", True)


@pytest.mark.parametrize("level", LEVELS)
def test_asking_the_cache_in_a_snapshot_is_found(
    level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wanted, "answers_from_snapshot", lambda connection: False)
    with pytest.raises(AssertionError):
        test_what_others_have_stored_meanwhile_is_not_shown_in_a_snapshot(level)
