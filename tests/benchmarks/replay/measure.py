"""How many of the entries that a write drops are filled with the same value again."""

from collections.abc import Iterator
from typing import Final

from tests.benchmarks.replay.airports import Airports
from tests.benchmarks.replay.bookshop import Bookshop
from tests.benchmarks.replay.ledger import Ledger, Tally
from tests.benchmarks.replay.traffic import replay
from tests.benchmarks.server import CacheServer
from tests.benchmarks.table import Row
from tests.benchmarks.timing import Scale

SITES: Final = (Bookshop, Airports)

BUDGET: Final = 5.0  # percent


def measure(scale: Scale) -> Iterator[Row]:
    """Replay the traffic of each site, and tell what was dropped for nothing, and by what."""
    for kind in SITES:
        CacheServer().empty()
        with kind.open() as site:
            yield from _rows(kind.name, replay(site, scale.reads))


def _rows(site: str, ledger: Ledger) -> Iterator[Row]:
    yield _row(f"{site}, all", ledger.all, BUDGET)
    for group, tallies in (("entry", ledger.by_name), ("write", ledger.by_write)):
        for name, tally in sorted(tallies.items(), key=lambda item: -item[1].equal):
            yield _row(f"{site}, by {group}, {name}", tally)


def _row(title: str, tally: Tally, budget: float | None = None) -> Row:
    counts = f"{tally.dropped} dropped, {tally.refilled} refilled, {tally.equal} as they were"
    return Row(
        name=f"replay: {title} ({counts})",
        unit="%",
        ours=tally.share,
        figure=tally.share,
        budget=budget,
    )
