"""What it costs to invalidate a tag that much depends on, and whom it holds up."""

from collections.abc import Iterator, Sequence
from functools import partial
from statistics import median
from time import perf_counter
from typing import Any

from django.core.cache import cache

from cache_invalidation import cached, invalidate
from cache_invalidation.stores.messages import entry_name, version_name
from tests.benchmarks import payloads
from tests.benchmarks.comparing import ratio
from tests.benchmarks.server import Bystander, CacheServer, longest_wait
from tests.benchmarks.table import Row
from tests.benchmarks.timing import Alternative, Scale, by_turns

INVALIDATIONS = 200  # of which the server adds up the time


@cached(tags="popular:{dependents}", timeout=3600)
def page(dependents: int, number: int) -> dict[str, Any]:
    return payloads.small(number)


class PopularTag:
    """A tag with so many entries that depend on it, all of them valid before each run."""

    def __init__(self, dependents: int, server: CacheServer) -> None:
        self.dependents = dependents
        self.tag = f"popular:{dependents}"
        self._client = server.client
        self.version_key = cache.make_key(version_name(self.tag))
        page(dependents, 0)
        self._version = self._client.get(self.version_key)
        self._copy(dependents)
        last = dependents - 1
        assert page(dependents, last) == payloads.small(0), "a copy of the first entry"
        self.invalidate()
        assert page(dependents, last) == payloads.small(last), "computed anew"

    def _copy(self, dependents: int) -> None:
        """Store what the first entry is made of under the names of the others."""
        keys = [cache.make_key(entry_name(page.key(dependents, n))) for n in range(dependents)]
        entry = self._client.get(keys[0])
        for start in range(0, dependents, 1000):
            self._client.mset(dict.fromkeys(keys[start : start + 1000], entry))

    def restore(self) -> None:
        """Make every dependent valid again."""
        self._client.set(self.version_key, self._version, px=3_600_000)

    def invalidate(self) -> None:
        invalidate(tags=[self.tag])


def measure(scale: Scale) -> Iterator[Row]:
    """Measure tags with one, some and many dependents."""
    server = CacheServer()
    server.empty()
    tags = {number: PopularTag(number, server) for number in (1, 1000, scale.dependents)}
    times = by_turns(
        {
            str(number): Alternative(run=tag.invalidate, warm_up=tag.restore)
            for number, tag in tags.items()
        },
        rounds=scale.rounds * 5,
    )
    for number in list(tags)[1:]:
        name = f"invalidate a tag: {number:,} dependents, to one"
        # The same; what is above is for the noise.
        yield ratio(name, times, str(number), "1", budget=1.2)
    yield _time_of_server(tags[1], tags[scale.dependents])
    yield _wait_of_others(list(tags.values()), scale)
    server.empty()


def _time_of_server(few: PopularTag, many: PopularTag) -> Row:
    """Measure how long the server is busy with an invalidation, and serves nobody else."""
    busy = []
    for tag in (few, many):
        with CacheServer().cost() as cost:
            for _ in range(INVALIDATIONS):
                tag.restore()
                tag.invalidate()
        busy.append(cost.busy / INVALIDATIONS * 1e6)
    return Row(
        name=f"invalidate a tag: server busy, {many.dependents:,} dependents, to one",
        unit="µs",
        baseline=busy[0],
        ours=busy[1],
        kind="ratio",
        figure=busy[1] / busy[0],
    )


def _wait_of_others(tags: Sequence[PopularTag], scale: Scale) -> Row:
    """Measure how long another client waits, at most, while a tag is invalidated."""
    runs: dict[str, list[tuple[float, float]]] = {tag.tag: [] for tag in tags}
    with Bystander().asking() as answers:
        by_turns(
            {
                tag.tag: Alternative(run=partial(_run, tag, runs), warm_up=tag.restore)
                for tag in tags
            },
            rounds=scale.rounds * 5,
        )
    waits = {
        tag: median(longest_wait(answers, begin, end) for begin, end in spans)
        for tag, spans in runs.items()
    }
    few, *_, many = (waits[tag.tag] * 1e6 for tag in tags)
    return Row(
        name="invalidate a tag: longest wait of another client meanwhile, to one dependent",
        unit="µs",
        baseline=few,
        ours=many,
        kind="ratio",
        figure=many / few,
    )


def _run(tag: PopularTag, runs: dict[str, list[tuple[float, float]]]) -> None:
    begin = perf_counter()
    tag.invalidate()
    runs[tag.tag].append((begin, perf_counter()))
