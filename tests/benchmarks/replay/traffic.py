"""What visitors and editors do to a site, the same each time for one seed."""

from collections.abc import Callable, Mapping, Sequence
from random import Random
from typing import Any, Protocol, TypeVar

from cache_invalidation.stores import get_store
from tests.benchmarks.replay.ledger import Ledger

T = TypeVar("T")

READS_PER_WRITE = 25
SEED = 14


class Site(Protocol):
    """A site in a database that is its own."""

    @property
    def writes(self) -> Mapping[str, tuple[int, Callable[[Random], Any]]]:
        """Each kind of write, and how often it is done next to the others."""

    def read(self, random: Random) -> Any:
        """Visit a page, the popular ones more often."""


def popular(random: Random, ranked: Sequence[T]) -> T:
    """Return one of them; the second is asked for half as often as the first, and so on."""
    return random.choices(ranked, [1 / rank for rank in range(1, len(ranked) + 1)])[0]


def replay(site: Site, reads: int) -> Ledger:
    """Visit and edit the site, and return what became of its entries."""
    random, ledger = Random(SEED), Ledger(get_store())
    kinds = list(site.writes)
    weights = [weight for weight, _ in site.writes.values()]
    with ledger.kept():
        for number in range(1, reads + 1):
            site.read(random)
            if number % READS_PER_WRITE == 0:
                kind = random.choices(kinds, weights)[0]
                site.writes[kind][1](random)
                ledger.written(kind)
    return ledger
