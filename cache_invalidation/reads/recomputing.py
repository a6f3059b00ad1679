"""Computing a value anew from the call that was kept with it, for nobody who waits for it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from typing import Any
from zoneinfo import ZoneInfo

from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.utils import timezone, translation

from cache_invalidation.reads import functions
from cache_invalidation.reads.decorated import is_coroutine_function
from cache_invalidation.reads.kept_calls import read_back
from cache_invalidation.reads.read import Read


class NotTheSame(Exception):
    """What would be computed here is another value than the one that it is to take the place of."""


@dataclass(frozen=True, slots=True)
class Locale:
    """The language and the time zone that a value was asked for in; None for those in force."""

    language: str | None
    zone: str | None

    @classmethod
    def now(cls) -> "Locale":
        zone: Any = timezone.get_current_timezone()
        return cls(translation.get_language(), zone.key if isinstance(zone, ZoneInfo) else None)

    @contextmanager
    def in_force(self) -> Iterator[None]:
        """Have both for as long as the block lasts; raise `LookupError` for an unknown zone."""
        zone = timezone.get_current_timezone() if self.zone is None else ZoneInfo(self.zone)
        with translation.override(self.language), timezone.override(zone):
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


def recompute(function: Any, read: Read, call: Any) -> bool:
    """Compute what `read` is about, and store it; return whether that was possible.

    The versions in `read` were sampled before, and the rows among the arguments are read now: so
    they are not older than the versions. Raises `NotTheSame` if they lead to another entry, and
    what the function raises.
    """
    args, kwargs = read_back(call)
    again = function._read(args, kwargs)
    if (again.key, again.tags) != (read.key, read.tags):
        raise NotTheSame("its arguments do not come back as they were")
    if is_coroutine_function(function.uncached):
        async_to_sync(function._compute)(read, args, kwargs)
    else:
        function._compute(read, args, kwargs)
    return read.is_stored
