"""What advice is given by: what was measured, and what is registered."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

from cache_invalidation.explain.known import joined
from cache_invalidation.explain.readers import reads
from cache_invalidation.metrics.figures import Dropped, Figures
from cache_invalidation.metrics.labels import label
from cache_invalidation.metrics.shapes import Metrics
from cache_invalidation.operations.overview import ModelEntry, Overview, RuleEntry

# Entity type, cause and route.
WriteKind = tuple[str, str, str]


@dataclass(frozen=True, kw_only=True)
class Situation:
    """The metrics, all that is registered, and the seconds that asking the cache once takes.

    `period` are the seconds for which there was counting, None if that is not known. `row_limit`
    and `excluded` are the settings ROW_TAG_LIMIT and EXCLUDE. `columns` are the fields of each
    model that can be tracked, by the names of parameters, and `fields` those that an update can
    change, and `classes` the names of their classes, all by the model's label. `parameters` are
    those of each function that is loaded, `refreshed` those that are refreshed ahead. The rows of
    models that are `looked_at` are read before and after updates, since a rule asks. Those
    functions that are loaded are kept `near`, of which a process keeps `near_bytes`; that is worth
    it if the cache `grants_leases`. To look for one value more with others takes `in_company`
    seconds.
    """

    metrics: Metrics
    overview: Overview
    round_trip: float
    period: float | None
    row_limit: int
    excluded: tuple[str, ...] = ()
    columns: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    fields: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    parameters: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    classes: Mapping[str, str] = field(default_factory=dict)
    refreshed: frozenset[str] = frozenset()
    looked_at: frozenset[str] = frozenset()
    near: frozenset[str] = frozenset()
    near_bytes: int = 0
    grants_leases: bool = False
    in_company: float = 0.0

    @property
    def figures(self) -> Mapping[str, Figures]:
        return self.metrics["figures"]

    def hits(self, name: str) -> int:
        """Return how often `name` was hit."""
        rates = self.metrics["functions"].get(name)
        return rates["hits"] if rates else 0

    def reads(self, name: str) -> int:
        """Return how often `name` was hit or missed."""
        rates = self.metrics["functions"].get(name)
        return rates["hits"] + rates["misses"] if rates else 0

    def mean(self, name: str) -> float:
        """Return the seconds that computing `name` takes; 0 before it was computed."""
        found = self.figures[name]
        return found["seconds"] / found["computed"] if found["computed"] else 0.0

    @cached_property
    def seconds(self) -> float:
        """How long all computing took. What is called by others that are cached counts for each."""
        return sum(found["seconds"] for found in self.figures.values())

    def writes(self, tag: str) -> list[Dropped]:
        """Return the writes that dropped the kind of tags `tag`, the most frequent first."""
        return self._writes.get(tag, [])

    @cached_property
    def _writes(self) -> Mapping[str, list[Dropped]]:
        found: dict[str, list[Dropped]] = {}
        for drop in self.metrics["dropped"]:
            found.setdefault(drop["tag"], []).append(drop)
        return found

    def is_sweeping(self, write: Dropped) -> bool:
        """Whether writes like `write` have dropped all tables: nobody knows what they write."""
        tables = {model["model"] for model in self.overview["models"]}
        if write["cause"] == "unknown":
            return True
        return len(tables) > 1 and tables <= self._swept[kind_of(write)]

    @cached_property
    def _swept(self) -> Mapping[WriteKind, set[str]]:
        found: dict[WriteKind, set[str]] = {}
        for drop in self.metrics["dropped"]:
            found.setdefault(kind_of(drop), set()).add(drop["tag"])
        return found

    @cached_property
    def models(self) -> Mapping[str, ModelEntry]:
        """The models that go without saying with each kind of tags: of tables, rows, columns."""
        return {label(tag): model for model in self.overview["models"] for tag in model["tags"]}

    @cached_property
    def rules(self) -> list[RuleEntry]:
        """The declared rules."""
        return [rule for model in self.overview["models"] for rule in model["rules"]]

    @cached_property
    def cached(self) -> Mapping[str, Mapping[str, object]]:
        """What is cached, as the registry shows it, by its name in the metrics."""
        return {
            **{entry["function"]: {**entry} for entry in self.overview["functions"]},
            **{joined("page", entry["page"]): {**entry} for entry in self.overview["pages"]},
            **{joined("block", entry["block"]): {**entry} for entry in self.overview["blocks"]},
        }

    def depends(self, name: str, tag: str) -> bool:
        """Whether `name` may depend on `tag`; so it may if not all is known of it.

        What was found out is forgotten with the counters, and found out again when it is computed.
        """
        entry, figures = self.cached.get(name), self.figures.get(name)
        if entry is None or entry.get("code") or not entry.get("loaded", True):
            return True
        if figures is not None and not figures["computed"]:
            return True
        return reads(entry, tag)


def kind_of(write: Dropped) -> WriteKind:
    """Return what tells `write` from others, whatever it drops."""
    return write["entity_type"], write["cause"], write["route"]
