"""What a finding is, and how much has to have happened for one."""

from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple, TypedDict, get_args

from cache_invalidation.advice.situation import Situation
from cache_invalidation.metrics.figures import Dropped

Kind = Literal[
    "track",
    "volatile",
    "fields",
    "families",
    "row_limit",
    "statement",
    "manual",
    "timeout",
    "refresh",
    "memory",
    "unreadable",
    "not_stored",
    "unhit",
    "cheap",
    "exclude",
    "near",
    "waits",
    "together",
]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

#: What a finding of each kind says, for people.
SUMMARIES: Final[Mapping[Kind, str]] = {
    "track": "Writes to other rows drop it, since it asks by a column that nobody tracks.",
    "volatile": "Updates of what it does not show drop it.",
    "fields": "A tag of a rule goes with updates of what its readers do not show.",
    "families": "The code of a rule drops everything, where it does not know the rows.",
    "row_limit": "Statements that write many rows drop all rows.",
    "statement": "Statements that cannot be read drop everything.",
    "manual": "It is invalidated by hand, although nothing has changed.",
    "timeout": "It expires, although nothing has changed.",
    "refresh": "Whoever comes after it has expired has to wait.",
    "memory": "The server makes room for other entries, or loses its data.",
    "unreadable": "What one process stores, another one cannot decode.",
    "not_stored": "It is not stored.",
    "unhit": "What is stored is hardly ever asked for again.",
    "cheap": "Computing it takes less time than asking the cache.",
    "exclude": "Writes are told to the cache, and nothing depends on them.",
    "near": "It is read all the time and hardly ever written: processes can answer from memory.",
    "waits": "Writers wait for processes that keep it near, for longer than that saves.",
    "together": "A view asks the cache one by one for what it could get in one round trip.",
}

# Fewer misses than this are chance: a share that is found in 30 may be off by 18 of 100.
MISSES: Final = 30

# Fewer of a hundred reads that turn into hits are not worth a change of the code.
GAIN: Final = 0.02

# Fewer seconds that are saved, since counting began, nobody notices.
SECONDS: Final = 1.0

# A smaller part of all seconds that are spent on computing is not what a site has to care about,
# however long it has been counting.
PART: Final = 0.01

WRITES: Final = 3  # of those that drop it, the most frequent, that are shown as evidence


#: Those figures among the evidence that are seconds; the others are counted.
IN_SECONDS: Final = frozenset({"mean", "round_trip", "latency", "waited", "each"})


class Finding(TypedDict):
    """Something to change, and what is to be expected of it.

    `name` is what is to be changed: a rule, a model, a setting, something cached. `readers` are
    what gains by it, as in the metrics. `evidence` are the figures that it is found by, and
    `writes` those that drop the most. `patch` is what to write.

    `hit_rate` is that of the `readers` now, and `expected_hit_rate` what it would have been; both
    are those of everything where the advice is not to cache. `seconds` would have been saved since
    counting began; where the advice is to refresh ahead, nobody would have waited for them.
    Where it is about round trips, the rates stay, and nothing is computed less often. A view has no
    rates, and no readers.
    """

    kind: Kind
    name: str
    summary: str
    readers: list[str]
    evidence: dict[str, float]
    writes: list[Dropped]
    patch: str
    hit_rate: float | None
    expected_hit_rate: float | None
    seconds: float


class Cure(NamedTuple):
    """What is to be changed, and how."""

    kind: Kind
    name: str
    patch: str


def more_hits(
    situation: Situation,
    cure: Cure,
    avoided: Mapping[str, float],
    evidence: Mapping[str, float],
    writes: Iterable[Dropped] = (),
) -> Finding | None:
    """Return the finding that a `cure` makes hits of so many misses, by name, if it is worth it."""
    gained = {name: number for name, number in avoided.items() if number}
    hits = sum(situation.hits(name) for name in gained)
    reads = sum(situation.reads(name) for name in gained)
    more = sum(gained.values())
    seconds = sum(number * situation.mean(name) for name, number in gained.items())
    if more < MISSES or more < GAIN * reads:
        return None
    if seconds < SECONDS or seconds < PART * situation.seconds:
        return None
    by_gain = sorted(gained, key=lambda name: (-gained[name] * situation.mean(name), name))
    return Finding(
        **_about(cure),
        readers=by_gain,
        evidence=dict(evidence),
        writes=list(writes)[:WRITES],
        hit_rate=rate(hits, reads),
        expected_hit_rate=rate(min(hits + more, reads), reads),
        seconds=round(seconds, 3),
    )


def without(
    situation: Situation, cure: Cure, evidence: Mapping[str, float], seconds: float
) -> Finding:
    """Return the finding that the name of the `cure` is better not cached."""
    name = cure.name
    hits, reads = situation.metrics["hits"], situation.metrics["hits"] + situation.metrics["misses"]
    others = reads - situation.reads(name)
    return Finding(
        **_about(cure),
        readers=[name],
        evidence=dict(evidence),
        writes=[],
        hit_rate=rate(hits, reads),
        expected_hit_rate=rate(hits - situation.hits(name), others),
        seconds=round(seconds, 3),
    )


def alike(
    situation: Situation, cure: Cure, evidence: Mapping[str, float], seconds: float
) -> Finding:
    """Return the finding that what is cached as the name of the `cure` can be cached for less."""
    name = cure.name
    hit_rate = rate(situation.hits(name), situation.reads(name))
    return Finding(
        **_about(cure),
        readers=[name],
        evidence=dict(evidence),
        writes=[],
        hit_rate=hit_rate,
        expected_hit_rate=hit_rate,
        seconds=round(seconds, 3),
    )


def in_less(cure: Cure, evidence: Mapping[str, float], seconds: float) -> Finding:
    """Return the finding that a view can ask for the same in less time."""
    return Finding(
        **_about(cure),
        readers=[],
        evidence=dict(evidence),
        writes=[],
        hit_rate=None,
        expected_hit_rate=None,
        seconds=round(seconds, 3),
    )


class _About(TypedDict):
    kind: Kind
    name: str
    summary: str
    patch: str


def _about(cure: Cure) -> _About:
    return _About(kind=cure.kind, name=cure.name, summary=SUMMARIES[cure.kind], patch=cure.patch)


def rate(hits: float, reads: float) -> float | None:
    """Return the share of hits; None if there was no read."""
    return round(hits / reads, 4) if reads else None
