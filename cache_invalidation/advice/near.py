"""What to keep in the memory of processes, and what not."""

from collections.abc import Iterator
from typing import Final

from cache_invalidation.advice import patches
from cache_invalidation.advice.findings import PART, SECONDS, Cure, Finding, alike
from cache_invalidation.advice.situation import Situation

# With fewer hits for each miss, many of them are the first of a process: each has to look up anew
# what a write has dropped.
HITS: Final = 100

# So many processes each look up once what one of them has missed. Nobody counts them.
PROCESSES: Final = 10

# Of what a process may keep near, the part that one function may take without a question.
SHARE: Final = 0.1


def nearness(situation: Situation) -> Iterator[Finding]:
    """Yield what to keep near, and what not to keep near any more."""
    for name in situation.figures:
        if situation.grants_leases and (found := _near(situation, name)) is not None:
            yield found
    for name in situation.metrics["waits_by_name"]:
        if (found := _waits(situation, name)) is not None:
            yield found


def _near(situation: Situation, name: str) -> Finding | None:
    """Evidence: many hits for each miss, of what is not near; and as many values as were missed
    for the first time have room.

    A hit then takes no round trip, but for the first one of each process.
    """
    if not _could_be_near(situation, name):
        return None
    found, hits = situation.figures[name], situation.hits(name)
    misses, fills = situation.reads(name) - hits, found["fills"]
    if not fills or hits < HITS * misses:
        return None
    size = found["bytes"] / fills
    if size * max(1, found["missed"].get("new", 0)) > SHARE * situation.near_bytes:
        return None
    seconds = (hits - PROCESSES * misses) * situation.round_trip
    if seconds < SECONDS or seconds < PART * situation.seconds:
        return None
    evidence = {"hits": hits, "misses": misses, "round_trip": situation.round_trip, "bytes": size}
    return alike(situation, Cure("near", name, patches.near(name)), evidence, seconds)


def _could_be_near(situation: Situation, name: str) -> bool:
    """Whether it is not. Of a function that is loaded the options say so, else it is not known.

    Of anything else, that there are no hits from memory: there would be many.
    """
    if patches.kind_of(name) == "function":
        return name in situation.parameters and name not in situation.near
    return not situation.metrics["near_hits"].get(name)


def _waits(situation: Situation, name: str) -> Finding | None:
    """Evidence: what writers have waited for it, and the round trips that near hits have saved."""
    waited = situation.metrics["waits_by_name"][name]
    hits = situation.metrics["near_hits"].get(name, 0)
    seconds = waited["seconds"] - hits * situation.round_trip
    if seconds < SECONDS:
        return None
    evidence = {"waits": waited["waits"], "waited": waited["seconds"], "near_hits": hits}
    cure = Cure("waits", name, patches.not_near(name))
    return alike(situation, cure, evidence | {"round_trip": situation.round_trip}, seconds)
