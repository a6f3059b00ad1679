"""Which views could ask the cache for what they need in one round trip."""

from collections.abc import Iterator
from typing import Final

from cache_invalidation.advice import patches
from cache_invalidation.advice.findings import SECONDS, Cure, Finding, in_less
from cache_invalidation.advice.situation import Situation
from cache_invalidation.reads import one_by_one

# Fewer requests are chance; each process learns anew what a view asks for.
REQUESTS: Final = 30

# A block around the view takes time as well: about as much as one lookup.
BLOCK: Final = 1


def togetherness(situation: Situation) -> Iterator[Finding]:
    """Yield the views, by their routes.

    Evidence: requests that were watched, and the lookups that the round trip of the first one would
    have spared them. They are some of many.
    """
    each = situation.round_trip - situation.in_company
    for route, spared in situation.metrics["could_be_together"].items():
        requests, lookups = spared["requests"], spared["lookups"]
        seconds = one_by_one.SAMPLED * (lookups - BLOCK * requests) * each
        if requests < REQUESTS or seconds < SECONDS:
            continue
        evidence = {"requests": requests, "lookups": lookups, "each": each}
        yield in_less(Cure("together", route, patches.together(route)), evidence, seconds)
