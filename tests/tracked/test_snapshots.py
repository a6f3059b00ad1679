"""What is read in a snapshot, by a unit of work that has begun before, inside of, or after it.

See `tests.consistency.test_snapshot_readers`.
"""

from functools import partial

import pytest
from django.core.cache import cache

from cache_invalidation import unit_of_work
from cache_invalidation.reads import protocol
from cache_invalidation.surfaces.tracked import units
from tests.consistency.test_snapshot_readers import USING, rename, snapshot, snapshot_elsewhere
from tests.elsewhere import elsewhere
from tests.surfaces.by_hand import tracking
from tests.testapp.models import Product

__all__ = ["tracking"]

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "sqlite"]),
    pytest.mark.usefixtures("tracking"),
]

KEY = "asked:name"
WHENS = ["get before it", "get in it", "get after it", "unit and get in it"]


def name_of(using: str, pk: int) -> str:
    return Product.objects.using(using).get(pk=pk).name


def see(using: str, pk: int) -> None:
    """Have seen the versions that count, of the key and of the row."""
    for _ in range(2):
        with unit_of_work():
            name = name_of(using, pk)
            cache.get(KEY)
            cache.set(KEY, name)
    assert cache.get(KEY) == "old"
    cache.delete(KEY)
    with unit_of_work():
        assert cache.get(KEY) is None


def set_what_a_snapshot_shows(level: str, when: str, pk: int) -> str:
    """Have somebody else write once the snapshot has begun; return the name that is set."""
    using = USING[level]
    if when == "unit and get in it":
        with snapshot(level), unit_of_work():
            elsewhere(partial(rename, using, pk))
            name = name_of(using, pk)
            assert cache.get(KEY) is None
            cache.set(KEY, name)
        return name
    with unit_of_work():
        if when == "get before it":
            assert cache.get(KEY) is None
        with snapshot(level):
            elsewhere(partial(rename, using, pk))
            if when == "get in it":
                assert cache.get(KEY) is None
            name = name_of(using, pk)
        if when == "get after it":
            assert cache.get(KEY) is None
        cache.set(KEY, name)
    return name


@pytest.mark.parametrize("when", WHENS)
@pytest.mark.parametrize("level", USING)
def test_what_a_snapshot_shows_is_not_kept(level: str, when: str) -> None:
    pk = Product.objects.using(USING[level]).create(name="old").pk
    see(USING[level], pk)
    name = set_what_a_snapshot_shows(level, when, pk)
    assert name == "old", "it saw the new row, so this proves nothing"
    assert cache.get(KEY) is None


def look(using: str, pk: int) -> None:
    """Have seen the versions that there are now, of the key and of the row."""
    with unit_of_work():
        name = name_of(using, pk)
        assert cache.get(KEY) is None
        cache.set(KEY, name)


@pytest.mark.parametrize("is_noticed", [True, False], ids=["noticed", "not noticed"])
@pytest.mark.parametrize("level", ["REPEATABLE READ", "SQLite"])
def test_a_unit_in_a_snapshot_trusts_nothing_that_was_seen_before_it(
    level: str, is_noticed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That may be younger than the rows; and it is found if a snapshot is not noticed."""
    using = USING[level]
    pk = Product.objects.using(using).create(name="old").pk
    with snapshot(level):
        elsewhere(partial(rename, using, pk))
        elsewhere(partial(look, using, pk))
        if not is_noticed:
            for module in (units, protocol):
                monkeypatch.setattr(module, "sees_snapshot", lambda: False)
        with unit_of_work():
            name = name_of(using, pk)
            assert cache.get(KEY) is None
            cache.set(KEY, name)
    assert name == "old", "it saw the new row, so this proves nothing"
    assert cache.get(KEY) == (None if is_noticed else "old")


@pytest.mark.parametrize("level", USING)
def test_a_snapshot_of_another_thread_is_older_than_what_is_asked_for_in_this_one(
    level: str,
) -> None:
    using = USING[level]
    pk = Product.objects.using(using).create(name="old").pk
    see(using, pk)
    with snapshot_elsewhere(level) as run:
        rename(using, pk)
        with unit_of_work():
            assert cache.get(KEY) is None
            name = run(partial(name_of, using, pk))
            cache.set(KEY, name)
    assert name == "old", "it saw the new row, so this proves nothing"
    assert cache.get(KEY) is None
