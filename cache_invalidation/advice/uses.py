"""What is cached, or watched, and of no use."""

from collections.abc import Iterator
from typing import Any, Final

from cache_invalidation.advice import patches
from cache_invalidation.advice.findings import (
    SUMMARIES,
    WRITES,
    Cure,
    Finding,
    rate,
    without,
)
from cache_invalidation.advice.situation import Situation
from cache_invalidation.metrics.counters import TELL_AGAIN
from cache_invalidation.operations.overview import ModelEntry

# Of fewer fills that were watched it cannot be said that they are hardly ever hit: none of twenty
# means with 95 % certainty that it is less than one of seven.
WATCHED: Final = 20

# What is kept for longer had its chance to be hit if there was counting for so many seconds.
DAY: Final = 86_400.0

# Of what is asked for again less often than this, the memory is better used for something else.
HARDLY: Final = 0.1

# What was read less often has no mean that can be relied on.
READS: Final = 100

# Fewer deliveries are not worth a setting that somebody has to think of later.
DELIVERIES: Final = 1000


def uses(situation: Situation) -> Iterator[Finding]:
    """Yield what not to cache, and what not to watch."""
    for name in situation.figures:
        found = _cheap(situation, name) or _unhit(situation, name)
        if found is not None:
            yield found
    yield from _excluded(situation)


def _unhit(situation: Situation, name: str) -> Finding | None:
    """Evidence: of the fills that were watched, hardly any was hit, though nothing drops them."""
    found = situation.figures[name]
    watched, hit = found["sampled_fills"], found["hit_fills"]
    hit_rate = rate(situation.hits(name), situation.reads(name))
    dropped = found["missed"].get("invalidated", 0) + found["missed"].get("evicted", 0)
    if situation.period is None or situation.period < _lifetime(situation, name):
        return None  # What was stored may still be hit.
    if watched < WATCHED or hit > HARDLY * watched or hit_rate is None or hit_rate > HARDLY:
        return None
    if dropped > HARDLY * situation.reads(name):
        return None  # It has no chance to be hit; what drops it comes first.
    evidence = {"watched_fills": watched, "hit_fills": hit, "bytes": found["bytes"]}
    cost = (situation.reads(name) + found["fills"]) * situation.round_trip
    saved = cost - situation.hits(name) * situation.mean(name)
    if saved <= 0:
        return None
    return without(situation, Cure("unhit", name, patches.uncached(name)), evidence, saved)


def _lifetime(situation: Situation, name: str) -> float:
    timeout: Any = situation.cached.get(name, {}).get("timeout")
    return DAY if timeout is None else min(DAY, float(timeout))


def _cheap(situation: Situation, name: str) -> Finding | None:
    """Evidence: the mean of computing, and a round trip as it was measured just now."""
    found, reads = situation.figures[name], situation.reads(name)
    mean = situation.mean(name)
    if found["computed"] < READS or mean >= situation.round_trip:
        return None
    evidence = {"mean": mean, "round_trip": situation.round_trip, "computed": found["computed"]}
    before = (reads + found["fills"]) * situation.round_trip + found["seconds"]
    saved = before - reads * mean
    return without(situation, Cure("cheap", name, patches.uncached(name)), evidence, saved)


def _excluded(situation: Situation) -> Iterator[Finding]:
    """Evidence: deliveries of a model on which nothing depends that is cached.

    What a delivery takes is the upper bound of half of them. For a while after a reset, processes
    have not told again what they have found out.
    """
    if situation.period is None or situation.period < TELL_AGAIN:
        return
    took = situation.metrics["latency"]["p50"]
    for model in situation.overview["models"]:
        writes = situation.writes(model["model"])
        deliveries = sum(each["deliveries"] for each in writes)
        if took is None or deliveries < DELIVERIES or _is_of_use(situation, model):
            continue
        yield Finding(
            kind="exclude",
            name=model["model"],
            summary=SUMMARIES["exclude"],
            readers=[],
            evidence={"deliveries": deliveries, "latency": took},
            writes=writes[:WRITES],
            patch=patches.exclude((*situation.excluded, model["model"])),
            hit_rate=situation.metrics["hit_rate"],
            expected_hit_rate=situation.metrics["hit_rate"],
            seconds=round(deliveries * took, 3),
        )


def _is_of_use(situation: Situation, model: ModelEntry) -> bool:
    return bool(model["rules"]) or any(
        situation.depends(name, tag)
        for name in {*situation.figures, *situation.cached}
        for tag in model["tags"]
    )
