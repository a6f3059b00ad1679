"""Which write has dropped something: looked up among the last deliveries."""

import json
from collections.abc import Collection, Iterable
from itertools import chain
from typing import Any

from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.report import Delivered
from cache_invalidation.stores import get_store


def last_delivery_of(tags: Collection[str], number: int = 100) -> Delivered | None:
    """Return the last delivery that is known to have dropped one of `tags`.

    Looked for among the deliveries of this process since its last flush, and `number` of those that
    any process has told of; of each the first twenty tags are known. Raises `StoreUnavailable` if
    the store does not answer.
    """
    wanted = frozenset(tags)
    told: Iterable[Any] = chain(counters.recent(), map(json.loads, get_store().recent(number)))
    found = [entry for entry in told if not wanted.isdisjoint(entry["targets"]["tags"])]
    return max(found, key=_when, default=None)


def _when(entry: Delivered) -> str:
    return entry["when"]
