"""One read of something that is cached, and what there is to know of it on its way."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Final, Literal, Protocol

from cache_invalidation.conf import settings
from cache_invalidation.reads import values
from cache_invalidation.reads.dependencies import Dependencies
from cache_invalidation.reads.kept_calls import Arguments
from cache_invalidation.reads.measured import Absence
from cache_invalidation.reads.recorders import Audited, Sampled
from cache_invalidation.reads.reports import audits
from cache_invalidation.stores.base import Store
from cache_invalidation.stores.messages import Filling, Found, Versions
from cache_invalidation.stores.near.memory import Kept

#: The share of its timeout after which a value is refreshed, where that is wanted.
DUE: Final = 0.9

Outcome = Literal["hits", "misses", "bypasses"]


class Looking(Protocol):
    """A lookup whose value is to be kept near as well; see `near`."""

    def look(self, tags: tuple[str, ...], *, with_further: bool) -> Found:
        """Return what is there."""

    def fill(self, filling: Filling) -> bool:
        """Store what was computed, and keep it; tell whether it could be stored."""

    def end(self, found: Found, *, is_hit: bool) -> None:
        """Keep what was found, if it `is_hit`: has turned out to be valid."""


Look = Callable[["Read"], Outcome]


class Default:
    """Stands for ``DEFAULT_TIMEOUT``, which is looked up when it is needed."""

    def __repr__(self) -> str:
        return "DEFAULT_TIMEOUT"


DEFAULT: Final = Default()


class Codec(Protocol):
    """How values are kept; see `values`, which does it for what functions return."""

    def encode(self, value: Any, store: Store, /) -> bytes:
        """Return `value` as `decode` takes it; raise whatever there is to raise if it cannot be."""

    def decode(self, payload: Any, store: Store, /) -> Any:
        """Return the value that `encode` was given; raise `ValueError` if it is unreadable."""


@dataclass(slots=True)
class Read:
    """One call of a cached function, or of something else that is cached, on its way.

    `tags` are expanded. `timeout` is in seconds, None for ever. With `records`, the value depends
    on whatever turns out to be read. With `refresh`, what is cached does not count. After
    `attempt`, either `is_hit` is set and `value` is the answer; or the value has to be computed and
    handed to `finish`, and may be stored if it is `storable`.
    """

    name: str
    key: str
    tags: tuple[str, ...]
    timeout: float | Default | None
    lock: bool = False
    records: bool = False
    function: Any = None
    codec: Codec = values
    # Names of what it is known to be for, besides its arguments: see `varying`.
    varies: frozenset[str] = frozenset()
    # What has been logged about the function, once for all of its calls.
    told: set[str] = field(default_factory=set)
    refresh: bool = False
    # So many bytes of what is stored are enough; 0 for all.
    head: int = 0
    # Where the entry is kept for who is served when the call begins.
    entry: str = ""
    is_hit: bool = False
    value: Any = None
    storable: bool = False
    versions: Versions | None = None
    # Versions of tags that it probably depends on, because it did so before.
    known: Versions = field(default_factory=dict)
    mark: str = ""
    # The lock that the caller has, and the entry that it is for.
    token: str = ""
    locked: str = ""
    # What is there in the place of an entry.
    plain: Any = None
    # What was found, or may be stored; and the call, if it is to be kept with what is stored.
    payload: Any = None
    # What was found where nothing could be used.
    absence: Absence | None = None
    call: Arguments | None = None
    # What has to stand as well when it is stored, whatever it turns out to depend on.
    conditions: Versions = field(default_factory=dict)
    is_stored: bool = False
    # May another value be stored under the same versions, which nobody may miss?
    overwrites: bool = False
    # Is it kept in the memory of this process? Then this is how to store it there, too, and this is
    # what was found there.
    near: bool = False
    looking: Looking | None = None
    kept: Kept | None = None

    @property
    def lifetime(self) -> float | None:
        """The seconds for which the value may be kept; None for ever."""
        return settings.DEFAULT_TIMEOUT if isinstance(self.timeout, Default) else self.timeout

    def dependencies(self) -> Dependencies:
        """Return what collects the dependencies of the value while it is computed."""
        found = self._dependencies()
        found.name = self.name
        found.conditions.update(self.conditions)
        return found

    def _dependencies(self) -> Dependencies:
        versions = self.versions or {}
        if self.records:
            lifetime = self.lifetime if self.storable else None
            return Sampled(versions, self.storable, self.known, lifetime)
        if audits():
            return Audited(versions, self.storable, self.tags)
        return Dependencies(versions, self.storable)
