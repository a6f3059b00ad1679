"""Everything there is to measure, by sections."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Final

from cache_invalidation.stores import get_store
from tests.benchmarks import (
    ahead,
    hits,
    memory,
    near,
    pages,
    popular_tags,
    querysets,
    statements,
    together,
    tracked,
    writes,
)
from tests.benchmarks.growth import measure as growth
from tests.benchmarks.peers import measure as peers
from tests.benchmarks.replay import measure as replay
from tests.benchmarks.table import Row
from tests.benchmarks.timing import Scale

Section = Callable[[Scale], Iterator[Row]]

SECTIONS: Final[Mapping[str, Section]] = {
    "writes": writes.measure,
    "watcher": statements.measure,
    "hits": hits.measure,
    "together": together.measure,
    "querysets": querysets.measure,
    "pages": pages.measure,
    "tracked": tracked.measure,
    "tags": popular_tags.measure,
    "memory": memory.measure,
    "replay": replay.measure,
    "ahead": ahead.measure,
    "near": near.measure,
    "growth": growth.measure,
    "peers": peers.measure,
}


def run(scale: Scale, names: Iterable[str]) -> Iterator[Row]:
    """Measure the sections called `names`, one after the other."""
    for name in names:
        yield from SECTIONS[name](scale)
    get_store().close()  # Before the server stops, to which it may renew a lease.
