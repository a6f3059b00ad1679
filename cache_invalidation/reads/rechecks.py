"""Checking on demand all entries whose calls were kept with them."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from asgiref.sync import async_to_sync

from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.reads import functions
from cache_invalidation.reads.arguments import Signature
from cache_invalidation.reads.consistency import Verdict, acheck, check
from cache_invalidation.reads.decorated import is_coroutine_function
from cache_invalidation.reads.kept_calls import kept, read_back
from cache_invalidation.reads.protocol import look_once
from cache_invalidation.stores import get_store
from cache_invalidation.stores.base import Store


@dataclass(frozen=True, slots=True)
class Rechecked:
    """One entry that was looked at; `reason` says why it is not recomputable."""

    key: str
    name: str
    outcome: Verdict | Literal["not recomputable"]
    reason: str = ""


def opted_in() -> dict[str, Any]:
    """Return the functions of this process that were declared with ``sample``, by name."""
    known = functions.by_name()
    return {name: known[name] for name in known if known[name].sample is not None}


def recheck_entries(names: Collection[str] = ()) -> Iterator[Rechecked]:
    """Check the entries of the functions `names`, or of all, one after the other.

    Entries that are not valid any more are left out: nobody is served from them. Raises
    `PatternsNotSupported` where keys cannot be listed, and `StoreUnavailable`.
    """
    store = get_store()
    known = opted_in()
    for prefix in names or ("",):
        for key in store.entries(prefix):
            name = key if key in known else Signature.name_in(key)
            if prefix and name != prefix:
                continue
            function = known.get(name)
            if function is None:
                yield _not(key, name, "no function of this name has opted in, in this process")
            elif found := _recheck(key, name, function, store):
                yield found


def _recheck(key: str, name: str, function: Any, store: Store) -> Rechecked | None:
    entry = store.lookup(store.entry_place(key), ()).entry
    if entry is None:
        return None
    record = kept(entry.payload, store)
    if record is None:
        return _not(key, name, "it was stored before the function opted in")
    if record.call is None:
        return _not(key, name, "its arguments could not be kept")
    try:
        args, kwargs = read_back(record.call)
        read = function._read(args, kwargs)
    except StoreUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - the project's own code, on data of another time
        return _not(key, name, f"its call cannot be made again ({type(error).__name__})")
    if read.key != key:
        return _not(key, name, "its arguments do not come back as they were")
    look_once(read)
    if not read.is_hit:
        return None
    run = async_to_sync(acheck) if is_coroutine_function(function.uncached) else check
    return Rechecked(key, name, run(read, function.uncached, args, kwargs).verdict)


def _not(key: str, name: str, reason: str) -> Rechecked:
    return Rechecked(key, name, "not recomputable", reason)
