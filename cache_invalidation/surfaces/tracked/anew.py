"""Tracked keys while a value is computed anew, to be compared with what is cached."""

from typing import Any

from cache_invalidation.reads.consistency import recomputing
from cache_invalidation.surfaces.tracked.keys import MISSING, Key


class Anew(Key):
    """A tracked key of which nothing is found but what was set by this recomputation.

    What is cached may be what is stale. What is done to what is there, such as `delete` and `add`,
    is done.
    """

    def get(self) -> Any:
        inner = recomputing.get()
        return MISSING if inner is None else inner.find(self.entry, MISSING)

    def has(self) -> bool:
        return self.get() is not MISSING

    def set(self, value: Any, timeout: float | None) -> bool:
        if (inner := recomputing.get()) is not None:
            inner.keep(self.entry, value)
        return True

    def get_or_set(self, default: Any, timeout: float | None) -> Any:
        if (found := self.get()) is not MISSING:
            return found
        value = default() if callable(default) else default
        self.set(value, timeout)
        return value

    def drop(self) -> None:
        if (inner := recomputing.get()) is not None:
            inner.payloads.pop(self.entry, None)
        super().drop()
