"""Races against somebody who deletes what is cached by hand, at the worst moment, forced.

The row is changed behind the back, so that nothing but the deletion tells of it.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from django.core.cache import cache

from cache_invalidation import invalidate
from cache_invalidation.surfaces.tracked import seen
from tests.consistency.recorded import KINDS, MOMENTS, WRITERS, Once
from tests.delivered import update_behind_the_back
from tests.surfaces.asking import Asked
from tests.surfaces.by_hand import GET_AND_SET, GET_OR_SET, READ_BEFORE, key_of, tracking
from tests.testapp.models import Product

__all__ = ["tracking"]

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "sqlite"]),
    pytest.mark.slow,
    pytest.mark.usefixtures("tracking"),
]

Delete = Callable[[str, str], object]

WAYS: dict[str, Delete] = {
    "delete": lambda key, using: cache.delete(key),
    "delete_many": lambda key, using: cache.delete_many([key, "asked:other"]),
    "set with a timeout of 0": lambda key, using: cache.set(key, "", 0),
    "delete_pattern": lambda key, using: cache.delete_pattern("asked:*"),  # type: ignore[attr-defined]
    "a key": lambda key, using: invalidate(keys=[key], using=using),
    "a pattern": lambda key, using: invalidate(
        patterns=[f"{key.rpartition(':')[0]}:*"], using=using
    ),
}
AT_COMMIT = [way for way in WAYS if way != "set with a timeout of 0"]


def change(delete: Delete, using: str, pk: int, key: str) -> None:
    update_behind_the_back(Product.objects.using(using).filter(pk=pk), name="new")
    delete(key, using)


def race(kind: str, using: str, moment: str, writer: str, way: str) -> None:
    Product.objects.using(using).all().delete()
    pk = Product.objects.using(using).create(name="old").pk
    asked, case = Asked(kind, KINDS["two queries"]), f"{kind}, {way}, {moment}"
    key = key_of(asked.name, using, pk)
    asked.fill(using, pk)
    assert asked.is_hit(using, pk), case
    cache.delete(key)
    asked.prepare(using, pk)
    with WRITERS[writer](partial(change, WAYS[way], using, pk, key), using) as write:
        step_in = Once(write)
        with MOMENTS[moment](using, step_in):
            asked(using, pk)
        assert step_in.is_done, f"{case}: no such moment"
    truth = asked.truth(using, pk)
    assert truth[0] == ["new"], case
    for _ in range(4):
        assert asked(using, pk) == truth, f"stale: {case}"


@pytest.mark.parametrize("writer", WRITERS)
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_deletion_in_the_middle_leaves_nothing_stale(
    moment: str, using: str, writer: str
) -> None:
    for kind in (GET_OR_SET, GET_AND_SET, READ_BEFORE):
        for way in WAYS if writer == "in autocommit" else AT_COMMIT:
            race(kind, using, moment, writer, way)


@pytest.mark.parametrize(
    ("spared", "way"), [("mark ", "delete"), ("keys:", "a pattern"), ("keys:", "delete_pattern")]
)
def test_what_counts_as_seen_before_and_was_not_is_found(
    spared: str, way: str, using: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was read before is older than a deletion that came before the key was asked for."""
    before = seen.before

    def spare(number: int, tags: Any) -> Any:
        names = [tag for tag in tags if tag.startswith(spared)]
        return before(number, tags) | before(seen.now(), names)

    monkeypatch.setattr(seen, "before", spare)
    with pytest.raises(AssertionError, match="stale"):
        race(READ_BEFORE, using, "between query and fetching", "in autocommit", way)
