"""Checking on demand what is cached: of functions, and under tracked keys."""

from collections.abc import Collection, Iterator

from cache_invalidation.reads.arguments import Signature
from cache_invalidation.reads.rechecks import Rechecked, not_recomputable, opted_in, recheck_call
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import TRACKED, tracked_key
from cache_invalidation.surfaces.querysets.names import model_of
from cache_invalidation.surfaces.tracked import names as tracked_names
from cache_invalidation.surfaces.tracked.rechecks import recheck_key


def checkable() -> list[str]:
    """Return the names of what can be checked: functions that opted in, and tracked keys."""
    return [*opted_in(), *tracked_names.names()]


def recheck_entries(names: Collection[str] = ()) -> Iterator[Rechecked]:
    """Check the entries of what is called `names`, or of all, one after the other.

    Entries that are not valid any more are left out: nobody is served from them. Raises
    `PatternsNotSupported` where keys cannot be listed, and `StoreUnavailable`.
    """
    store, known = get_store(), opted_in()
    # Keys that one pattern tracks have nothing in common that can be listed by.
    prefixes = {name if name in known else TRACKED for name in names} or {""}
    for prefix in sorted(prefixes):
        for entry in store.entries(prefix):
            if (found := tracked_key(entry)) is not None:
                glob = tracked_names.glob_in(entry)
                if glob is not None and (not names or tracked_names.name_of(glob) in names):
                    yield from _checked(recheck_key(*found, glob, store))
                continue
            name = entry if entry in known else Signature.name_in(entry)
            if names and name != prefix:
                continue
            if name in known:
                yield from _checked(recheck_call(entry, name, known[name], store))
            else:
                yield not_recomputable(entry, name, _why_not(name))


def _checked(found: Rechecked | None) -> Iterator[Rechecked]:
    if found is not None:
        yield found


def _why_not(name: str) -> str:
    if model_of(name) is not None:
        return "rows of queries are not compared"
    return "no function of this name has opted in, in this process"
