"""Races of pages, blocks, responses and tracked keys against a writer at the worst moment, forced.

One of the clients keeps what it got, and asks whether that still holds: it must not be told so of
what is stale. Whatever is returned in the middle of a race, once the writer is done everybody has
to get what there is.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.db import connections, transaction
from django.http import HttpRequest, HttpResponse, HttpResponseNotModified

from cache_invalidation.delivery.fencing import raise_fence
from cache_invalidation.surfaces.keeping import Keeping
from cache_invalidation.surfaces.pages import answers, visits
from cache_invalidation.surfaces.responses import visits as response_visits
from cache_invalidation.writes import commit
from tests.consistency.recorded import KINDS, MOMENTS, WRITERS, Once
from tests.consistency.test_snapshot_readers import snapshot
from tests.consistency.test_statement_races import sample_late
from tests.delivered import update_behind_the_back
from tests.elsewhere import elsewhere
from tests.surfaces.asking import HELD, HELD_RESPONSE, SURFACES, Asked
from tests.surfaces.by_hand import TRACKED, tracking
from tests.testapp.models import Product

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "sqlite"]),
    pytest.mark.slow,
]

__all__ = ["tracking"]

LEVELS = {"REPEATABLE READ": "default", "SQLite": "sqlite"}


@pytest.fixture(params=["by the app", "by hand"])
def kinds(request: pytest.FixtureRequest) -> list[str]:
    """What is cached by the app, and then by hand under tracked keys."""
    if request.param == "by the app":
        return SURFACES
    request.getfixturevalue("tracking")
    return TRACKED


def rename(using: str, pk: int, name: str = "new") -> None:
    assert Product.objects.using(using).filter(pk=pk).update(name=name) == 1


def make(kind: str, using: str, has_run: bool = True) -> tuple[Asked, int]:
    """Return what was asked for before, with `has_run`, and is not cached now; and the row."""
    Product.objects.using(using).all().delete()
    pk = Product.objects.using(using).create(name="old").pk
    asked = Asked(kind, KINDS["two queries"])
    if has_run:
        asked.fill(using, pk)
        assert asked.is_hit(using, pk), kind
        rename(using, pk, "still old")
    asked.prepare(using, pk)
    return asked, pk


def check(asked: Asked, using: str, pk: int, case: str) -> None:
    truth = asked.truth(using, pk)
    assert truth[0] == ["new"], case
    # So it is a hit for who may have an old one.
    assert Asked(asked.kind, asked.compute, asked.name)(using, pk) == truth, f"stale: {case}"
    assert asked(using, pk) == truth, f"stale: {case}"
    assert asked(using, pk) == truth, f"stale the second time: {case}"
    assert asked.is_hit(using, pk), f"not cached again: {case}"


def race(kind: str, using: str, moment: str, writer: str, has_run: bool) -> None:
    asked, pk = make(kind, using, has_run)
    case = f"{kind}, {'second' if has_run else 'first'} run, {moment}"
    with WRITERS[writer](partial(rename, using, pk), using) as write:
        step_in = Once(write)
        with MOMENTS[moment](using, step_in):
            asked(using, pk)
        assert step_in.is_done, f"{case}: no such moment"
    check(asked, using, pk, case)


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_write_in_the_middle_of_a_visit_leaves_nothing_stale(
    moment: str, using: str, writer: str, kinds: list[str]
) -> None:
    for kind in kinds:
        for has_run in (False, True):
            race(kind, using, moment, writer, has_run)


@pytest.mark.parametrize("moment", MOMENTS)
def test_without_a_writer_all_of_these_visits_are_stored(
    moment: str, using: str, kinds: list[str]
) -> None:
    """Otherwise nothing stale would be left because nothing is left at all."""
    for kind in kinds:
        asked, pk = make(kind, using)
        with MOMENTS[moment](using, Once(lambda: None)):
            before = asked(using, pk)
        update_behind_the_back(Product.objects.using(using).filter(pk=pk), name="unseen")
        assert asked(using, pk) == before != asked.truth(using, pk), kind


@pytest.mark.parametrize("is_after", [False, True], ids=["before the fence", "after it"])
def test_who_asks_while_a_writer_is_about_to_commit_leaves_nothing_stale(
    using: str, is_after: bool, kinds: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for kind in kinds:
        asked, pk = make(kind, using)
        seen: list[Any] = []

        def fence_and_ask(batch: Any, connection: Any, ask: Callable[[], None]) -> Any:
            if not is_after:
                elsewhere(ask)
            raised = raise_fence(batch, connection)
            if is_after:
                elsewhere(ask)
            return raised

        ask = partial(lambda asked, pk, seen: seen.append(asked(using, pk)[0]), asked, pk, seen)
        with monkeypatch.context() as patch:
            patch.setattr(commit, "raise_fence", partial(fence_and_ask, ask=ask))
            with transaction.atomic(using=using):
                rename(using, pk)
        assert seen == [["still old"]], kind
        check(asked, using, pk, kind)


@pytest.mark.parametrize("level", LEVELS)
def test_what_a_snapshot_shows_is_not_stored(level: str, kinds: list[str]) -> None:
    using = LEVELS[level]
    for kind in kinds:
        asked, pk = make(kind, using)
        with snapshot(level):
            elsewhere(partial(rename, using, pk))
            found = asked(using, pk)
            assert found[0] == ["still old"], f"{kind}: it saw the new row; this proves nothing"
        check(asked, using, pk, kind)


def test_what_a_transaction_has_written_is_shown_to_nobody_else(
    using: str, kinds: list[str]
) -> None:
    for kind in kinds:
        asked, pk = make(kind, using)
        before = asked(using, pk)
        with transaction.atomic(using=using):
            rename(using, pk, "undone")
            assert asked(using, pk)[0] == ["undone"], f"stale: {kind}"
            assert elsewhere(partial(asked, using, pk)) == before, f"leaked: {kind}"
            transaction.set_rollback(True, using=using)
        connections[using].close()
        assert asked(using, pk) == asked(using, pk) == before, kind


# What each of these breaks has to be found; so the tests above can fail.


@pytest.mark.parametrize("kind", SURFACES)
def test_versions_that_are_sampled_late_are_found(
    kind: str, using: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample_late(monkeypatch)
    for moment in ("between query and fetching", "just before the store"):
        with pytest.raises(AssertionError, match="stale"):
            race(kind, using, moment, "in autocommit", True)


@pytest.mark.parametrize("level", LEVELS)
def test_keeping_what_may_not_be_stored_is_found(
    level: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = Keeping.keep

    def keep_anyway(self: Keeping, value: Any, refusals: Any) -> Any:
        self.read.storable = True
        if self._dependencies is not None:
            self._dependencies.storable = True
        return keep(self, value, refusals)

    monkeypatch.setattr(Keeping, "keep", keep_anyway)
    with pytest.raises(AssertionError, match="stale"):
        test_what_a_snapshot_shows_is_not_stored(level, SURFACES)


def as_ever(request: HttpRequest, etag: str, response: HttpResponse) -> HttpResponse:
    """Tell whoever has anything that it is what there is."""
    return HttpResponseNotModified() if "If-None-Match" in request.headers else response


@pytest.mark.parametrize("kind", [HELD, HELD_RESPONSE])
@pytest.mark.parametrize("broken", ["tags that are all the same", "comparing them"])
def test_a_client_that_is_told_to_keep_what_is_stale_is_found(
    kind: str, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if broken == "comparing them":
        monkeypatch.setattr(answers, "get_conditional_response", as_ever)
    else:
        for module in (visits, response_visits):
            monkeypatch.setattr(module, "etag_of", lambda *made: '"same"')
    with pytest.raises(AssertionError, match="stale"):
        race(kind, "default", "just before the store", "in autocommit", True)
