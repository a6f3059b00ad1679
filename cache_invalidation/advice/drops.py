"""What is dropped for nothing: values that come out the same when they are computed anew."""

from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from cache_invalidation.advice import patches
from cache_invalidation.advice.findings import Cure, Finding, more_hits
from cache_invalidation.advice.situation import Situation, WriteKind, kind_of
from cache_invalidation.metrics.figures import Dropped, Figures
from cache_invalidation.metrics.labels import label
from cache_invalidation.operations.overview import ModelEntry, RuleEntry
from cache_invalidation.tags import ROOT

LARGEST_LIMIT: Final = 50_000  # rows; beyond, naming each costs more than it saves


@dataclass(slots=True)
class _Needless:
    """What one cure is good for: by name, equal refills and misses; and the writes."""

    equal: dict[str, float] = field(default_factory=dict)
    invalidated: Counter[str] = field(default_factory=Counter)
    writes: dict[WriteKind, Dropped] = field(default_factory=dict)

    def add(self, name: str, figures: Figures, tag: str, write: Dropped, share: float) -> None:
        """Add what so large a `share` of the writes that drop `tag` has done to `name`."""
        # Two tags may have been dropped by one write.
        equal = self.equal.get(name, 0.0) + figures["equal_after"][tag] * share
        self.equal[name] = min(equal, figures["equal_refills"])
        dropped = figures["dropped_by"].get(tag, 0)
        self.invalidated[name] = max(self.invalidated[name], dropped)
        most = self.writes.setdefault(kind_of(write), write)
        if write["deliveries"] > most["deliveries"]:
            self.writes[kind_of(write)] = write


def needless_drops(situation: Situation) -> Iterator[Finding]:
    """Yield what to change so that equal refills become hits.

    Evidence: `equal_after`, the refills that were equal after something had been dropped. They were
    hits if that had not been. If writes of several kinds drop it, each has its share of them.
    """
    found: dict[Cure, _Needless] = defaultdict(_Needless)
    for name, figures in situation.figures.items():
        for tag in figures["equal_after"]:
            writes = situation.writes(tag)
            deliveries = sum(write["deliveries"] for write in writes)
            for write in writes:
                if (cure := _cure(situation, name, tag, write)) is not None:
                    found[cure].add(name, figures, tag, write, write["deliveries"] / deliveries)
    for cure, needless in found.items():
        writes = sorted(needless.writes.values(), key=lambda write: -write["deliveries"])
        evidence = {
            "invalidated": needless.invalidated.total(),
            "equal_refills": round(sum(needless.equal.values())),
            "deliveries": sum(write["deliveries"] for write in writes),
        }
        finding = more_hits(situation, cure, needless.equal, evidence, writes)
        if finding is not None:
            yield finding


def _cure(situation: Situation, name: str, tag: str, write: Dropped) -> Cure | None:
    """Return what keeps writes like `write` from dropping `name` by `tag`, if that is known."""
    if write["cause"] == "manual":
        return Cure("manual", tag, patches.manual(tag, write))
    model = situation.models.get(tag)
    if situation.is_sweeping(write) and not (model and _is_about(write, model)):
        return Cure("statement", write["route"] or "raw SQL", patches.statement(write))
    if tag == ROOT:
        return _families(situation, name, write)
    if tag.endswith(f":{ROOT}"):
        return _rows(situation, tag, write)
    if model is not None:
        return _of_model(situation, name, tag, model, write)
    return _fields(situation, tag, write)


def _of_model(
    situation: Situation, name: str, tag: str, model: ModelEntry, write: Dropped
) -> Cure | None:
    if not _is_about(write, model):
        return None  # Others were written in the same transaction, and more of them.
    return _track(situation, name, tag, model) or _volatile(situation, model, write)


def _is_about(write: Dropped, model: ModelEntry) -> bool:
    types = {model["model"], *(rule["entity_type"] for rule in model["rules"])}
    return write["entity_type"] in types


def _families(situation: Situation, name: str, write: Dropped) -> Cure | None:
    for rule in situation.rules:
        if (
            rule["entity_type"] == write["entity_type"]
            and rule["code"]
            and rule["families"] is None
        ):
            families = _named_by_code(situation, rule)
            if families and not any(situation.depends(name, f"{each}:*") for each in families):
                return Cure("families", rule["rule"], patches.families(rule, families))
    return None


def _named_by_code(situation: Situation, rule: RuleEntry) -> list[str]:
    """Return the families of the tags that the code of `rule` has named where it knew the rows."""
    declared = {label(source) for source in rule["tags"]}
    return sorted(
        {
            drop["tag"].removesuffix(":{}")
            for drop in situation.metrics["dropped"]
            if drop["entity_type"] == rule["entity_type"]
            and drop["tag"].endswith(":{}")
            and drop["tag"] not in declared
            and drop["tag"] not in situation.models
        }
    )


def _rows(situation: Situation, tag: str, write: Dropped) -> Cure | None:
    """Return what keeps statements that write some rows from dropping all of them.

    Unless a rule has their rows looked at, only those are known that a statement names by key.
    """
    one = tag.removesuffix(ROOT) + "{}"
    of_rules = {label(source) for rule in situation.rules for source in rule["tags"]}
    model, limit = situation.models.get(one), 10 * situation.row_limit
    if model is not None and model["model"] not in situation.looked_at:
        return _volatile(situation, model, write) if _is_about(write, model) else None
    if write["cause"] not in ("update", "delete") or limit > LARGEST_LIMIT:
        return None
    if model is None and one not in of_rules:
        return None
    return Cure("row_limit", "ROW_TAG_LIMIT", patches.row_limit(limit))


def _track(situation: Situation, name: str, tag: str, model: ModelEntry) -> Cure | None:
    """Return that a column is to be tracked: the one that the function `name` has a parameter for.

    By which columns it asks is not measured, so exactly one has to be called like a parameter.
    """
    if tag != model["model"]:
        return None
    columns = situation.columns.get(model["model"], {})
    asked = {columns[each] for each in situation.parameters.get(name, ()) if each in columns}
    tracked = {column for rule in model["rules"] for column in rule["track"]}
    if len(asked) != 1 or asked <= tracked:
        return None
    return Cure(
        "track", _subject(model), patches.option(model, _class(situation, model), "track", asked)
    )


def _volatile(situation: Situation, model: ModelEntry, write: Dropped) -> Cure | None:
    if write["cause"] != "update":
        return None
    settled = {
        name
        for rule in model["rules"]
        for option in (rule["volatile"], rule["ignore"], rule["track"])
        for name in option
    }
    fields = [name for name in situation.fields.get(model["model"], ()) if name not in settled]
    if not fields:
        return None
    volatile = {name for rule in model["rules"] for name in rule["volatile"]}
    return Cure(
        "volatile",
        _subject(model),
        patches.volatile(model, _class(situation, model), volatile, fields),
    )


def _fields(situation: Situation, tag: str, write: Dropped) -> Cure | None:
    """Return that a template of a rule is to have fields, if nobody has thought about it."""
    for rule in situation.rules:
        if rule["entity_type"] != write["entity_type"] or rule["fields"] is not None:
            continue
        for source in rule["tags"]:
            if label(source) == tag and source not in rule["own_fields"]:
                fields = situation.fields.get(rule["model"], ())
                patch = patches.fields(rule, source, fields)
                return Cure("fields", rule["rule"], patch) if write["cause"] == "update" else None
    return None


def _subject(model: ModelEntry) -> str:
    return model["rules"][0]["rule"] if model["rules"] else model["model"]


def _class(situation: Situation, model: ModelEntry) -> str:
    return situation.classes.get(model["model"], model["model"])
