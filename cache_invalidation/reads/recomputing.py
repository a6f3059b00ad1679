"""Computing a value anew from the call that was kept with it, for nobody who waits for it."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final
from zoneinfo import ZoneInfo

from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.utils import timezone, translation

from cache_invalidation.connections import sees_snapshot
from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.reads import functions
from cache_invalidation.reads.decorated import is_coroutine_function
from cache_invalidation.reads.kept_calls import Arguments
from cache_invalidation.reads.read import Read
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import Versions, new_token

#: Seconds for which nobody else tries to compute what somebody is computing, or failed to.
LOCKED: Final = 60.0


class NotTheSame(Exception):
    """What would be computed here is another value than the one that it is to take the place of."""


@dataclass(frozen=True, slots=True)
class Locale:
    """The language and the time zone that a value was asked for in; None for what is in force."""

    language: str | None
    zone: str | None

    @classmethod
    def now(cls) -> "Locale":
        zone: Any = timezone.get_current_timezone()
        return cls(translation.get_language(), zone.key if isinstance(zone, ZoneInfo) else None)

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Have both for as long as the block lasts; raise `LookupError` for an unknown zone."""
        with ExitStack() as stack:
            if self.language is not None:
                stack.enter_context(translation.override(self.language))
            if self.zone is not None:
                stack.enter_context(timezone.override(ZoneInfo(self.zone)))
            yield


def known(name: str) -> Any:
    """Return the cached function of this name; raise `NotTheSame` if this process has none.

    A worker loads the URLs of the project for that, and the command line does not.
    """
    found = functions.by_name()
    if name not in found and (root := getattr(django_settings, "ROOT_URLCONF", None)):
        import_module(root)
        found = functions.by_name()
    if name not in found:
        raise NotTheSame(f"no function {name!r} is known here")
    return found[name]


def turn_for(place: str, lifetime: float | None) -> str:
    """Return the token of a lock that nobody else has for a value; "" if somebody has it.

    It is for those who compute what nobody waits for, and not for long: see ``LOCKED``.
    """
    token, seconds = new_token(), LOCKED if lifetime is None else min(LOCKED, lifetime)
    return token if get_store().acquire(lock_of(place), token, seconds) else ""


def give_back(place: str, token: str) -> None:
    """Let others compute the value."""
    try:
        get_store().release(lock_of(place), token)
    except CacheInvalidationError:
        return  # It times out by itself.


def lock_of(place: str) -> str:
    """Return another name than that of the lock which callers wait for who have nothing."""
    return f"{place} refresh"


def store_under(read: Read, versions: Versions) -> None:
    """Have what is computed for `read` stored under the `versions` of a hit, if all still stand.

    Not from a snapshot, whose rows may be older than these.
    """
    read.is_hit, read.storable = False, not sees_snapshot()
    read.versions = {tag: versions[tag] for tag in read.tags}
    read.known = {tag: v for tag, v in versions.items() if tag not in read.versions}
    read.conditions = versions


def recompute(function: Any, read: Read, arguments: Arguments) -> bool:
    """Compute what `read` is about, and store it; return whether that was possible.

    The versions in `read` have to be older than the rows among the `arguments`. Raises what the
    function raises.
    """
    args, kwargs = arguments
    if is_coroutine_function(function.uncached):
        async_to_sync(function._compute)(read, args, kwargs)
    else:
        function._compute(read, args, kwargs)
    return read.is_stored
