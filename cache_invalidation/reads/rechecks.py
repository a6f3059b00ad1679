"""Checking on demand what is cached of a function, from the calls that were kept with it."""

from dataclasses import dataclass
from typing import Any, Literal

from asgiref.sync import async_to_sync

from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.reads import functions
from cache_invalidation.reads.consistency import Verdict, acheck, check
from cache_invalidation.reads.decorated import is_coroutine_function
from cache_invalidation.reads.kept_calls import kept, read_back
from cache_invalidation.reads.protocol import look_once
from cache_invalidation.reads.read import Read
from cache_invalidation.stores.base import Store
from cache_invalidation.tags import ROOT, function_tag


@dataclass(frozen=True, slots=True)
class Rechecked:
    """One entry that was looked at; `reason` says why it is not recomputable."""

    key: str
    name: str
    outcome: Verdict | Literal["not recomputable"]
    reason: str = ""


def opted_in() -> dict[str, Any]:
    """Return the functions of this process that keep their calls, by name.

    They were declared with ``sample``, or with ``refresh``.
    """
    known = functions.by_name()
    return {n: each for n, each in known.items() if each.ahead or each.sample is not None}


def recheck_call(key: str, name: str, function: Any, store: Store) -> Rechecked | None:
    """Check the entry `key` of a cached function; None if nobody is served from it."""
    entry = store.lookup(store.entry_place(key), ()).entry
    if entry is None:
        return None
    record = kept(entry.payload, store)
    if record is None:
        return not_recomputable(key, name, "it was stored before the function opted in")
    if record.call is None:
        return not_recomputable(key, name, "its arguments could not be kept")
    try:
        args, kwargs = read_back(record.call)
        read = function._read(args, kwargs)
    except StoreUnavailable:
        raise
    except Exception as error:  # noqa: BLE001 - the project's own code, on data of another time
        reason = f"its call cannot be made again ({type(error).__name__})"
        return not_recomputable(key, name, reason)
    if read.key != key:
        return not_recomputable(key, name, "its arguments do not come back as they were")
    look_once(read)
    if not read.is_hit:
        return None
    if function.sample is None and not _is_told(read):
        return not_recomputable(
            key, name, "it may be old, until its timeout: it depends on nothing"
        )
    run = async_to_sync(acheck) if is_coroutine_function(function.uncached) else check
    return Rechecked(key, name, run(read, function.uncached, args, kwargs).verdict)


def _is_told(read: Read) -> bool:
    """Whether somebody tells when the value has changed, besides by its own name."""
    own = function_tag(read.name)[:-1]
    return any(tag != ROOT and not tag.startswith(own) for tag in read.versions or ())


def not_recomputable(key: str, name: str, reason: str) -> Rechecked:
    """Return what is said of an entry that cannot be checked."""
    return Rechecked(key, name, "not recomputable", reason)
