"""For django-debug-toolbar; the extra ``debug-toolbar``.

Name `CacheInvalidationPanel` in ``DEBUG_TOOLBAR_PANELS``.
"""

from collections.abc import Iterable, Mapping
from contextvars import ContextVar
from typing import Any, Final

from debug_toolbar.panels import Panel

from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.metrics.shapes import Delivered
from cache_invalidation.metrics.writers import last_deliveries, last_delivery_of
from cache_invalidation.observers import Computed, Lookup, Observer, observers
from cache_invalidation.stores.messages import RECENT
from cache_invalidation.tags import ROOT

_OUTCOMES: Final = {"hits": "hit", "misses": "miss", "bypasses": "bypass"}

_CAUSES: Final = {
    "": "",
    "gone": "nothing was there",
    "invalidated": "it had been invalidated",
    "unreadable": "it could not be decoded",
    "unknown": "it is not known why",
}

# What the request that is being answered has asked for, in the order of the answers.
_asked: ContextVar[list[dict[str, Any]] | None] = ContextVar("cache_invalidation_panel")


class Notes(Observer):
    """Takes down what is asked for while a request is answered that has a toolbar."""

    def looked(self, lookup: Lookup) -> None:
        """Take down one lookup."""
        asked = _asked.get(None)
        if asked is not None:
            asked.append(
                {
                    "name": lookup.name,
                    "key": lookup.key,
                    "outcome": _OUTCOMES[lookup.outcome],
                    "milliseconds": round(lookup.seconds * 1000, 2),
                    "why": _CAUSES[lookup.cause],
                    "dropped": list(lookup.dropped),
                    "tags": _told(lookup.tags),
                    "computed": None,
                    "reasons": [],
                }
            )

    def computed(self, computed: Computed) -> None:
        """Add what was computed to the last lookup that it can have been computed for."""
        for row in reversed(_asked.get(None) or ()):
            is_open = row["outcome"] != "hit" and row["computed"] is None
            if row["name"] == computed.name and is_open:
                row["computed"] = round(computed.seconds * 1000, 2)
                row["tags"], row["reasons"] = _told(computed.tags), list(computed.reasons)
                return


def _told(tags: Iterable[str]) -> list[str]:
    return [tag for tag in tags if tag != ROOT]  # Everything depends on that one.


class CacheInvalidationPanel(Panel):
    """What the request has asked the cache for, what came of it and why."""

    is_async = True
    title = "Cached values"
    nav_title = "Cached values"
    template = "cache_invalidation/debug_toolbar.html"

    @classmethod
    def ready(cls) -> None:
        """Begin to listen, once in each process."""
        if not any(isinstance(each, Notes) for each in observers):
            observers.append(Notes())

    @property
    def nav_subtitle(self) -> str:
        """How many hits there were, of how many lookups."""
        rows = self.get_stats().get("rows", [])  # type: ignore[no-untyped-call]
        hits = sum(row["outcome"] == "hit" for row in rows)
        return f"{hits} of {len(rows)} hit" if rows else "none asked for"

    def enable_instrumentation(self) -> None:
        """Begin to take down what this thread or task asks for."""
        self.asked: list[dict[str, Any]] = []
        _asked.set(self.asked)

    def disable_instrumentation(self) -> None:
        """Take down no more."""
        _asked.set(None)

    def generate_stats(self, request: Any, response: Any) -> None:
        """Find out which writes have dropped what was missed, and hand all of it to the toolbar."""
        deliveries = _deliveries() if any(row["dropped"] for row in self.asked) else []
        for row in self.asked:
            row["write"] = _write_of(row["dropped"], deliveries)
        self.record_stats({"rows": self.asked})  # type: ignore[no-untyped-call]


def _deliveries() -> list[Delivered]:
    try:
        return last_deliveries(RECENT)
    except CacheInvalidationError:
        return []


def _write_of(dropped: list[str], deliveries: list[Delivered]) -> dict[str, Any] | None:
    found: Mapping[str, Any] | None = last_delivery_of(dropped, deliveries)
    if found is None:
        return None
    return {name: found[name] for name in ("when", "entity_type", "cause", "path")}
