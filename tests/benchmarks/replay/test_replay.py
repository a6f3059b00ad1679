"""What a replay counts: it is right, the same each time, and not more than it has been."""

import pytest

from cache_invalidation import cached, invalidate
from cache_invalidation.stores import get_store
from tests.benchmarks.replay.ledger import Ledger
from tests.benchmarks.replay.measure import SITES
from tests.benchmarks.replay.traffic import replay
from tests.bookshop.models import Category, Tag

pytestmark = [pytest.mark.slow, pytest.mark.django_db(transaction=True)]

READS = 2500

#: Percent of what is refilled, as the engine and the rules of the sites have it now. Whoever makes
#: it less, writes it here.
AT_MOST = {"bookshop": 6, "airports": 5}


@cached(name="replay.first")
def first() -> str:
    return Category._default_manager.order_by("pk").values_list("name", flat=True)[0]


@cached(name="replay.both")
def both() -> tuple[str, int]:
    return first(), Tag._default_manager.count()


def test_an_entry_is_equal_if_the_value_is_and_different_otherwise():
    one, two = (Category._default_manager.create(name=name) for name in ("one", "two"))
    ledger = Ledger(get_store())
    with ledger.kept():
        both()
        two.name = "second"
        two.save()
        ledger.written("second")
        both()
        one.name = "first"
        one.save()
        ledger.written("first")
        first()
        invalidate(Tag)
        ledger.written("tags")
        both()
    tallies = {kind: (t.dropped, t.refilled, t.equal) for kind, t in ledger.by_write.items()}
    # `both` was dropped with the first, so dropping the tags dropped nothing more.
    assert tallies == {"second": (2, 2, 2), "first": (2, 2, 0)}
    assert ledger.causes == {
        ("replay.first", "second", "bookshop.category"): 1,
        ("replay.both", "second", "bookshop.category"): 1,
    }
    assert (ledger.all.dropped, ledger.all.refilled, ledger.all.equal) == (4, 4, 2)
    assert ledger.by_name["replay.both"].share == 50


@pytest.mark.parametrize("kind", SITES, ids=lambda kind: kind.name)
def test_no_more_is_dropped_for_nothing_than_before(kind):
    with kind.open() as site:
        found = replay(site, READS)
    # Enough of it that the share says something, and each kind of write is among it.
    assert found.all.refilled > 200
    assert len(site.writes) >= 10
    assert found.all.share <= AT_MOST[kind.name], found.causes.most_common(10)
