"""Advice on what to change, from the metrics and the registry."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from statistics import median
from time import perf_counter
from typing import Any, Final, TypedDict

from django.apps import apps
from django.db.models import Model

from cache_invalidation.advice.differences import counted_since
from cache_invalidation.advice.drops import needless_drops
from cache_invalidation.advice.findings import Finding
from cache_invalidation.advice.misses import needless_misses
from cache_invalidation.advice.near import nearness
from cache_invalidation.advice.situation import Situation
from cache_invalidation.advice.together import togetherness
from cache_invalidation.advice.uses import uses
from cache_invalidation.conf import Settings
from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.metrics.shapes import Metrics
from cache_invalidation.operations.overview import Overview, overview
from cache_invalidation.reads import functions
from cache_invalidation.rules.catalog import is_spelled_alike
from cache_invalidation.rules.registry import registry
from cache_invalidation.stores import get_store

LOOKS: Final = 9  # at the cache, of which the median is what asking it takes
COMPANY: Final = 10  # entries that are looked for at once, to see what that takes


class Advice(TypedDict):
    """What to change, what saves most seconds first.

    `period` are the seconds for which there was counting, None if that is not known, and `reads`
    how many there were. Of what was not counted for want of room there are so many
    `details_left_out`.
    """

    period: float | None
    reads: int
    details_left_out: int
    findings: list[Finding]


def read_advice(before: Mapping[str, Any] | None = None) -> Advice:
    """Return what to change, by what was counted; only since `before`, if that is given.

    It is what ``cache_metrics`` has printed as JSON. Raises `StoreUnavailable` if the store does
    not answer, `ValueError` if `before` is of no use.
    """
    metrics = read_metrics()
    period = _seconds_since(metrics["since"]) if before is None else None
    if before is not None:
        metrics = counted_since(before, metrics)
    return advice_on(situation(metrics, overview(), period, _round_trip()))


def advice_on(found: Situation) -> Advice:
    """Return what to change in a situation. The same for the same situation."""
    findings = [*needless_drops(found), *needless_misses(found), *uses(found), *nearness(found)]
    findings += togetherness(found)
    return Advice(
        period=None if found.period is None else round(found.period, 3),
        reads=found.metrics["hits"] + found.metrics["misses"],
        details_left_out=found.metrics["details_left_out"],
        findings=sorted(findings, key=lambda f: (-f["seconds"], f["kind"], f["name"])),
    )


def situation(
    metrics: Metrics, registered: Overview, period: float | None, round_trip: float
) -> Situation:
    """Return the situation of this process: its models, its functions, its settings."""
    models = [apps.get_model(entry["model"]) for entry in registered["models"]]
    loaded = functions.by_name()
    return Situation(
        metrics=metrics,
        overview=registered,
        period=period,
        round_trip=round_trip,
        row_limit=Settings.ROW_TAG_LIMIT.usable(),
        excluded=tuple(Settings.EXCLUDE.usable()),
        columns={model._meta.label_lower: _columns(model) for model in models},
        fields={model._meta.label_lower: _fields(model) for model in models},
        looked_at=frozenset(m._meta.label_lower for m in models if registry.plan(m).needs_state),
        classes={model._meta.label_lower: model.__name__ for model in models},
        parameters={name: each.signature.names for name, each in loaded.items()},
        refreshed=frozenset(name for name, each in loaded.items() if each.ahead),
        near=frozenset(name for name, each in loaded.items() if each.near),
        near_bytes=Settings.NEAR_BYTES.usable(),
        grants_leases=_grants_leases(),
        in_company=_in_company(round_trip),
    )


def _columns(model: type[Model]) -> Mapping[str, str]:
    """Return the fields of `model` that can be tracked, by the names that a parameter may have."""
    fields: list[Any] = [
        field
        for field in model._meta.concrete_fields
        if not field.primary_key and is_spelled_alike(field)
    ]
    return {name: field.name for field in fields for name in (field.name, field.attname)}


def _fields(model: type[Model]) -> tuple[str, ...]:
    keys = {field.name for field in model._meta.pk_fields}
    return tuple(f.name for f in model._meta.concrete_fields if f.name not in keys)


def _seconds_since(begun: str | None) -> float | None:
    if begun is None:
        return None
    return max(0.0, (datetime.now(UTC) - datetime.fromisoformat(begun)).total_seconds())


def _grants_leases() -> bool:
    near = get_store().near
    if near is None or not Settings.NEAR_WAIT.usable():
        return False
    try:
        return not near.registrar.grants_leases()
    except CacheInvalidationError:
        return False


def _round_trip() -> float:
    """Return the seconds that asking the cache for one entry takes this process, about."""
    store = get_store()
    place = store.entry_place("cache_invalidation.advice")
    return _took(lambda: store.lookup(place, ()))


def _in_company(round_trip: float) -> float:
    """Return the seconds that asking for one more takes in the same `round_trip`, about."""
    store = get_store()
    if not store.looks_at_many:
        return round_trip
    places = [store.entry_place(f"cache_invalidation.advice:{n}") for n in range(COMPANY)]
    took = _took(lambda: store.lookup_many([(place, ()) for place in places]))
    return max(0.0, took - round_trip) / (COMPANY - 1)


def _took(look: Callable[[], object]) -> float:
    took = []
    for _ in range(LOOKS):
        begun = perf_counter()
        look()
        took.append(perf_counter() - begun)
    return median(took)
