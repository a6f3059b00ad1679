"""Which write has dropped something: looked up among the last deliveries."""

import json
from collections.abc import Collection, Iterable
from itertools import chain
from typing import Any

from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.shapes import Delivered
from cache_invalidation.stores import get_store


def last_deliveries(number: int = 100) -> list[Delivered]:
    """Return the deliveries that are known, the last one first.

    Those of this process since its last flush, and `number` of those that any process has told of.
    Raises `StoreUnavailable` if the store does not answer.
    """
    told: Iterable[Any] = chain(counters.recent(), map(json.loads, get_store().recent(number)))
    return sorted(told, key=_when, reverse=True)


def last_delivery_of(
    tags: Collection[str], deliveries: Iterable[Delivered] | None = None
) -> Delivered | None:
    """Return the last delivery that is known to have dropped one of `tags`.

    It is looked for among `deliveries`, if `last_deliveries` are at hand; of each the first twenty
    tags are known. Raises `StoreUnavailable` if the store does not answer.
    """
    wanted = frozenset(tags)
    told = last_deliveries() if deliveries is None else deliveries
    return next((each for each in told if not wanted.isdisjoint(each["targets"]["tags"])), None)


def _when(entry: Delivered) -> str:
    return entry["when"]
