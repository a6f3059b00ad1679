"""The store fails between the tags and the patterns of one delivery."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
from django.db import transaction

from cache_invalidation import invalidate
from cache_invalidation.delivery.outbox.draining import drain_all
from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.report import read_recent
from cache_invalidation.signals import invalidated, invalidation_failed
from cache_invalidation.stores import get_store
from tests.delivery.outbox.rows import targets

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])

Block = Callable[[str], AbstractContextManager[Any]]


@pytest.fixture
def told() -> Iterator[list[str]]:
    """What is told, name by name, as `invalidated` and `invalidation_failed` say it."""
    told: list[str] = []

    def receiver(signal: Any, invalidation: Any, **message: Any) -> None:
        said = "delivered" if signal is invalidated else "lost"
        for names in (invalidation.tags, invalidation.keys, invalidation.patterns):
            told.extend(f"{said} {name}" for name in sorted(names))

    for signal in (invalidated, invalidation_failed):
        signal.connect(receiver)
    yield told
    for signal in (invalidated, invalidation_failed):
        signal.disconnect(receiver)


@pytest.fixture
def without_patterns(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Have the store fail at patterns, and at nothing else, until that is undone."""

    def fail(*args: Any) -> None:
        raise StoreUnavailable("SCAN timed out")

    with monkeypatch.context() as patch:
        patch.setattr(type(get_store()), "delete_patterns", fail)
        yield patch


@pytest.mark.parametrize("using", ["default", "sqlite"])
@pytest.mark.parametrize("block", [nullcontext, transaction.atomic], ids=["autocommit", "atomic"])
def test_each_part_is_told_of_when_it_is_delivered(
    using: str, block: Block, told: list[str], without_patterns: pytest.MonkeyPatch
) -> None:
    with block(using):
        invalidate(tags=["cdn:3"], keys=["k"], patterns=["list:*"], using=using)
    assert told == ["delivered cdn:3", "delivered k"]
    assert targets(using) == [{"patterns": ["list:*"]}]
    counters.flush()
    assert read_recent(1)[0]["targets"] == {"tags": ["cdn:3"], "keys": ["k"], "patterns": []}
    without_patterns.undo()
    drain_all()
    assert told[2:] == ["delivered list:*"]


def test_nothing_is_told_of_patterns_that_came_alone(
    told: list[str], without_patterns: pytest.MonkeyPatch
) -> None:
    invalidate(patterns=["list:*"])
    assert told == []
    without_patterns.undo()
    drain_all()
    assert told == ["delivered list:*"]


def test_what_waits_in_one_piece_is_told_of_in_one_piece(
    told: list[str], without_patterns: pytest.MonkeyPatch
) -> None:
    """It was in the outbox before COMMIT, since the store had failed at the fence as well."""
    without_patterns.setattr(type(get_store()), "fence", get_store().delete_patterns)
    with transaction.atomic():
        invalidate(tags=["cdn:3"], patterns=["list:*"])
    assert (told, targets()) == ([], [{"tags": ["cdn:3"], "patterns": ["list:*"]}])
    without_patterns.undo()
    drain_all()
    assert sorted(told) == ["delivered cdn:3", "delivered list:*"]


def test_what_an_ignoring_project_loses_is_told_of_apart(
    settings: Any, told: list[str], without_patterns: pytest.MonkeyPatch
) -> None:
    settings.CACHE_INVALIDATION = {"ON_STORE_FAILURE": "ignore"}
    invalidate(tags=["cdn:3"], patterns=["list:*"])
    assert sorted(told) == ["delivered cdn:3", "lost list:*"]
