"""What operators are told: the shapes of metrics."""

from typing import Any, NotRequired, TypedDict

from cache_invalidation.metrics.figures import Dropped, Figures
from cache_invalidation.metrics.latency import Percentiles


class Rates(TypedDict):
    """Reads of one cached function, or of all; `hit_rate` is None before the first read."""

    hits: int
    misses: int
    bypasses: int
    hit_rate: float | None


class StoreState(TypedDict):
    """The cache as this process sees it.

    `state` is ``"working"``, ``"down"`` while it does not answer, or ``"recovering"`` until what
    could not be delivered has been. `since` (ISO 8601) and `reason` tell of the outage that lasts,
    `outages` how many there were.
    """

    alias: str
    state: str
    since: str | None
    reason: str
    outages: int


class Waited(TypedDict):
    """How often writers waited for processes that kept near what they changed, and how long."""

    waits: int
    seconds: float


class Waits(Waited):
    """Of these, so many waited for a whole lease, since somebody was `silent`."""

    silent: int


class Spared(TypedDict):
    """In so many `requests`, one by one, so many values were got that could be fetched together.

    That are `lookups` besides the first one of each.
    """

    requests: int
    lookups: int


class Metrics(Rates):
    """Everything counted since `since` (ISO 8601), by all processes that flushed.

    `pending_invalidations` is the length of the outbox now. `not_stored` has, by the name of a
    function, page or block, or of what one pattern tracks, how often it was not stored for which
    reason. `stored` has, by the last of these names only, how often a value was: "sealed" under
    what it depends on, or "blind". `refreshed` has, by the name of a function, what became of its
    refreshes. `fetched_together` counts what `cached_together` has fetched before it was asked for,
    `fetched_in_vain` what of that nobody has used. `could_be_together` has, by the route of a view,
    what it could fetch in the requests that were watched for that. `figures` has what else was
    measured, by all of these names; `dropped` what writes have dropped. The last two are kept to so
    many counters; of what found no room there are only so many `details_left_out`.
    """

    functions: dict[str, Rates]
    figures: dict[str, Figures]
    dropped: list[Dropped]
    details_left_out: int
    not_stored: dict[str, dict[str, int]]
    stored: dict[str, dict[str, int]]
    refreshed: dict[str, dict[str, int]]
    near_hits: dict[str, int]
    waits_by_entity_type: dict[str, Waits]
    waits_by_name: dict[str, Waited]
    fetched_together: int
    fetched_in_vain: int
    could_be_together: dict[str, Spared]
    invalidations_by_entity_type: dict[str, int]
    tag_invalidations: int
    key_invalidations: int
    pattern_invalidations: int
    failed_invalidations: int
    pending_invalidations: int
    store: StoreState
    latency: Percentiles
    checked_hits: int
    stale_hits: int
    stale_rate: float | None
    stale_by_entity_type: dict[str, int]
    last_invalidation: dict[str, Any] | None
    since: str | None


class Minute(TypedDict):
    """The counters of the minute that begins at `time` (seconds since the epoch).

    `missed` has the misses by cause, as in `Figures`. `near_hits` are hits from the memory of
    processes, and `waited` is how writers waited for those.
    """

    time: int
    hits: int
    near_hits: int
    waited: Waited
    misses: int
    bypasses: int
    missed: dict[str, int]
    invalidations_by_entity_type: dict[str, int]
    failed_invalidations: int
    latency: Percentiles


class Delivered(TypedDict):
    """One delivered invalidation: `when` (ISO 8601), why, what (the first twenty of each kind).

    `sizes` says how many there were of each.
    `path` is that of the request that caused it, if one did, `using` the database that was written,
    `latency` the seconds from COMMIT until the cache had been told. `trace` is what observers had
    to say of it: the ``traceparent`` of the span in which it was delivered.
    """

    when: str
    entity_type: str | None
    cause: str | None
    targets: dict[str, list[str]]
    sizes: dict[str, int]
    using: str
    path: str | None
    latency: float
    trace: NotRequired[str]
