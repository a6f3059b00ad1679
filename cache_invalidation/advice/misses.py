"""What is missed although nothing has changed: expired, evicted, unreadable, never stored."""

from collections.abc import Iterator, Mapping
from math import expm1
from typing import Any, Final

from cache_invalidation.advice import patches
from cache_invalidation.advice.findings import Cure, Finding, more_hits
from cache_invalidation.advice.situation import Situation
from cache_invalidation.reads.read import DUE

WEEK: Final = 604_800  # seconds; what is asked for more rarely need not be kept

LARGEST: Final = 3  # of what is stored, that are named

#: What to do about reasons not to store. Others go by themselves, or are as they should be.
REASONS: Final[Mapping[str, str]] = {
    "value": "Return what the cache can keep: list(queryset) for a generator, plain data for what "
    "is open or bound to the process.",
    "varies": "Name in vary_on what the cached functions vary on that are called.",
    "blind": "get before set, or get_or_set; unit_of_work() around both in a script. What nobody "
    "minds if it is old goes into BLIND.",
    "unwatched": "Take what it reads out of EXCLUDE, or name tags.",
    "session": "Look at the session in another view or block than the one that is cached.",
    "csrf": "Put the form into a page of its own, or fetch its token by a script.",
    "messages": "Show messages in a page of their own, or fetch them by a script.",
    "nonce": "Allow scripts by their hashes instead of a nonce.",
    "set-cookie": "Set cookies in another view, or in a middleware for pages that are not cached.",
    "variants": "It looks at something that has a value of its own for nearly everyone: look at "
    "less of it, with vary_on.",
    "inputs": "It looks at too much of the request: look at single names.",
    "opaque": "It is given something that may carry anything: give it names and keys.",
}


def needless_misses(situation: Situation) -> Iterator[Finding]:
    """Yield what to change so that these misses become hits."""
    for name, figures in situation.figures.items():
        yield from _expired(situation, name, figures["missed"])
        yield from _refreshed(situation, name, figures["missed"])
        yield from _not_stored(situation, name, figures["missed"])
    yield from _evicted(situation)
    yield from _unreadable(situation)


def _expired(situation: Situation, name: str, missed: Mapping[str, int]) -> Iterator[Finding]:
    """A longer timeout, for what depends on something that tells when it has changed.

    Evidence: misses that have expired. How many of them something would have dropped meanwhile
    nobody knows; as large a share as of the values that have not expired, say.
    """
    entry: Mapping[str, Any] = situation.cached.get(name, {})
    expired, ended = missed.get("expired", 0), missed.get("invalidated", 0)
    timeout = entry.get("timeout", 0)  # Of pages and blocks it is not known.
    if not _depends(entry) or timeout is None or timeout >= WEEK:
        return
    share = expired / (expired + ended + missed.get("by_name", 0)) if expired else 0.0
    cure = Cure("timeout", name, patches.timeout(name, WEEK))
    evidence = {"expired": expired, "invalidated": ended}
    if (found := more_hits(situation, cure, {name: expired * share}, evidence)) is not None:
        yield found


def _refreshed(situation: Situation, name: str, missed: Mapping[str, int]) -> Iterator[Finding]:
    """Refreshing ahead, for what may be old as it depends on nothing that tells when it changes.

    Evidence: misses that have expired, and hits for each fill. If these come at random, one comes
    into the part of a life in which it refreshes with this probability.
    """
    entry: Mapping[str, Any] = situation.cached.get(name, {})
    fills, timeout = situation.figures[name]["fills"], entry.get("timeout")
    is_able = name in situation.parameters and name not in situation.refreshed
    if _depends(entry) or not (is_able and fills and timeout):
        return
    hits = situation.hits(name) / fills
    expired = missed.get("expired", 0)
    avoided = {name: expired * -expm1(-(1 - DUE) * hits)}
    cure = Cure("refresh", name, patches.refresh(timeout))
    evidence = {"expired": expired, "hits_per_fill": round(hits, 1)}
    if (found := more_hits(situation, cure, avoided, evidence)) is not None:
        yield found


def _depends(entry: Mapping[str, Any]) -> bool:
    """Whether something tells when what is cached has changed."""
    return bool(entry.get("found") or entry.get("tags") or entry.get("code"))


def _not_stored(situation: Situation, name: str, missed: Mapping[str, int]) -> Iterator[Finding]:
    """A cure for each reason why it is not stored.

    Evidence: misses of what could not be stored the last time, which were hits if it had been; each
    reason has its share of them.
    """
    reasons = situation.metrics["not_stored"].get(name, {})
    for reason, number in reasons.items():
        if number and reason in REASONS:
            share = number / sum(reasons.values())
            cure = Cure("not_stored", name, f"# {reason}: {REASONS[reason]}")
            avoided = {name: missed.get("not_stored", 0) * share}
            evidence = {"not_stored": number, "missed": missed.get("not_stored", 0)}
            if (found := more_hits(situation, cure, avoided, evidence)) is not None:
                yield found


def _evicted(situation: Situation) -> Iterator[Finding]:
    """More memory, or less in it. Evidence: misses of what was gone before its time."""
    avoided = _missed(situation, "evicted")
    stored = {
        name: found["bytes"] / found["fills"]
        for name, found in sorted(situation.figures.items(), key=lambda each: -each[1]["bytes"])
        if found["fills"]
    }
    cure = Cure("memory", "maxmemory", patches.memory([*stored.items()][:LARGEST]))
    evidence = {
        "evicted": sum(avoided.values()),
        "bytes": sum(found["bytes"] for found in situation.figures.values()),
    }
    if (finding := more_hits(situation, cure, avoided, evidence)) is not None:
        yield finding


def _unreadable(situation: Situation) -> Iterator[Finding]:
    """A version of the code. Evidence: misses of what was there and could not be decoded."""
    avoided = _missed(situation, "unreadable")
    cure = Cure("unreadable", "CODE_VERSION", patches.unreadable())
    evidence = {"unreadable": sum(avoided.values())}
    if (finding := more_hits(situation, cure, avoided, evidence)) is not None:
        yield finding


def _missed(situation: Situation, cause: str) -> dict[str, float]:
    return {name: each["missed"].get(cause, 0) for name, each in situation.figures.items()}
