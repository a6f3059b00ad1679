"""What observers are told of reads, and of what is computed for them."""

from collections.abc import Collection
from time import perf_counter

from cache_invalidation import observers
from cache_invalidation.observers import Computed, Lookup
from cache_invalidation.reads.dependencies import Dependencies
from cache_invalidation.reads.read import Outcome, Read


def tell_lookup(read: Read, outcome: Outcome, began: float) -> None:
    """Tell observers how the lookup has ended that `began` then, by `perf_counter`."""
    found = read.absence if outcome == "misses" else None
    observers.looked(
        Lookup(
            name=read.name,
            key=read.key,
            outcome=outcome,
            seconds=perf_counter() - began,
            cause=found.cause if found else "unknown" if outcome == "misses" else "",
            dropped=found.changed if found else (),
            tags=tuple(read.versions or ()) if read.is_hit else (),
        )
    )


def tell_computed(read: Read, dependencies: Dependencies, reasons: Collection[str]) -> None:
    """Tell observers what was computed for `read`, and for which `reasons` it was not stored."""
    if observers.observers:
        observers.computed(
            Computed(
                name=read.name,
                seconds=dependencies.seconds,
                tags=tuple(sorted(dependencies.versions)),
                reasons=tuple(reasons),
            )
        )
