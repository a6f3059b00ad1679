"""Checking on demand what a function has returned that was handed to `get_or_set`."""

from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.reads.consistency import check
from cache_invalidation.reads.kept_calls import kept, read_back
from cache_invalidation.reads.protocol import look_once
from cache_invalidation.reads.read import DEFAULT
from cache_invalidation.reads.rechecks import Rechecked, not_recomputable
from cache_invalidation.stores.base import Store
from cache_invalidation.surfaces.tracked.keys import Key
from cache_invalidation.surfaces.tracked.origins import function_of


def recheck_key(key: str, version: int, glob: str, store: Store) -> Rechecked | None:
    """Check what is kept under a tracked key; None if nobody is served from it."""
    tracked = Key(key, version, glob, None)
    read = tracked.read()
    read.timeout = DEFAULT
    look_once(read)
    if not read.is_hit:
        return None
    shown = key if version == 1 else f"{key} (version {version})"
    record = kept(read.payload, store)
    if record is None or record.call is None:
        reason = "it was set by hand, or by a function that cannot be imported by its name"
        return not_recomputable(shown, tracked.name, reason)
    try:
        function = function_of(read_back(record.call))
    except StoreUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - it imports code of the project
        reason = f"its function cannot be found ({type(error).__name__})"
        return not_recomputable(shown, tracked.name, reason)
    subject = f"{shown!r} of {tracked.name}"
    return Rechecked(shown, tracked.name, check(read, function, (), {}, subject).verdict)
