"""Django's signals, turned into changes.

Those connected here arrive inside of the transaction that Django opens for the operation itself;
for saves, which have none, see `cache_invalidation.writes.saves`.
"""

import logging
from collections.abc import Iterable
from itertools import chain
from typing import Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model, signals
from django.dispatch import Signal

from cache_invalidation.delivery import batch_of
from cache_invalidation.metrics.counters import counters
from cache_invalidation.registry import Wire, registry
from cache_invalidation.rules import Change
from cache_invalidation.transactions import shielded
from cache_invalidation.writes import rows
from cache_invalidation.writes.collect import collect, is_suspended
from cache_invalidation.writes.events import add_targets

logger = logging.getLogger("cache_invalidation")


def _before_delete(sender: type[Model], instance: Model, using: str, **kwargs: Any) -> None:
    if is_suspended():
        return
    model, old = _table(sender), None
    if registry.plan(model).needs_state:
        old = rows.read(model, instance.pk, using, deleting=True)
    collect(Change(model=model, operation="delete", using=using, pk=instance.pk, old=old))


def _m2m_changed(
    sender: type[Model],
    instance: Model,
    action: str,
    reverse: bool,
    model: type[Model],
    pk_set: set[Any] | None,
    using: str,
    **kwargs: Any,
) -> None:
    if is_suspended() or action not in ("pre_clear", "post_add", "post_remove"):
        return
    owner = _table(type(instance))
    if action == "pre_clear":
        pk_set = _related_keys(sender, instance, model, reverse, using)
    if not pk_set:
        return
    _collect_related(owner, {instance.pk}, using)
    _collect_related(_table(model), pk_set, using)
    if registry.plan(sender):
        collect(Change(model=sender, operation="m2m", using=using))


def _collect_related(model: type[Model], keys: Iterable[Any], using: str) -> None:
    plan = registry.plan(model)
    if not plan:
        return
    found: dict[Any, Model] = {}
    if plan.needs_state:
        found = model._base_manager.using(using).in_bulk(list(keys))
    for key in keys:
        row = found.get(key)
        collect(Change(model=model, operation="m2m", using=using, pk=key, old=row, new=row))


def _related_keys(
    through: type[Model], instance: Model, model: type[Model], reverse: bool, using: str
) -> set[Any]:
    """Return the keys that are about to be cleared.

    With the row of `instance` locked, nobody can add another relation to it meanwhile.
    """
    rows.read(_table(type(instance)), instance.pk, using, deleting=True)
    holder = model if reverse else type(instance)
    for field in holder._meta.many_to_many:
        if field.remote_field.through is through:
            source, target = field.m2m_field_name(), field.m2m_reverse_field_name()
            if reverse:
                source, target = target, source
            relations = through._base_manager.using(using).filter(**{source: instance})
            return set(relations.values_list(f"{target}__pk", flat=True))
    logger.warning("No relation of %r goes through %r.", holder, through)
    return set()


def _table(model: type[Model]) -> type[Model]:
    return model._meta.concrete_model or model


# Connecting: the registry is data, and this is what makes it act.

_connected: list[tuple[Signal, Any, Any]] = []


def install() -> None:
    """Connect receivers now and whenever the registry changes. May be called again."""
    registry.changed.connect(_reconnect, dispatch_uid="cache_invalidation.receivers")
    _reconnect()


def _reconnect(**kwargs: Any) -> None:
    """Connect receivers for exactly what the registry holds now.

    Only models that matter get receivers: Django deletes rows of the others without loading them.
    """
    while _connected:
        signal, receiver, sender = _connected.pop()
        signal.disconnect(receiver, sender=sender)
    models = apps.get_models(include_auto_created=True)
    for model in filter(registry.plan, models):
        _connect(signals.pre_delete, _before_delete, model)
    for field in chain.from_iterable(model._meta.local_many_to_many for model in models):
        through = field.remote_field.through
        sides: list[Any] = [field.model, field.related_model, through]
        if any(map(registry.plan, sides)):
            _connect(signals.m2m_changed, _m2m_changed, through)
    for wire in registry.wires:
        _connect(wire.signal, _receiver_of(wire), wire.sender)


def _connect(signal: Signal, receiver: Any, sender: Any) -> None:
    signal.connect(receiver, sender=sender, weak=False)
    _connected.append((signal, receiver, sender))


def _receiver_of(wire: Wire) -> Any:
    def receive(sender: Any, signal: Signal, **kwargs: Any) -> None:
        if is_suspended():
            return
        try:
            using = kwargs.get("using") or DEFAULT_DB_ALIAS
            with shielded(using):
                targets = wire.handler(sender=sender, **kwargs)
            name = getattr(wire.handler, "__name__", repr(wire.handler))
            with batch_of(using) as batch:
                add_targets(batch, targets, name, f"signal:{name}")
        except Exception:
            # Whoever sends the signal must not fail because of what hangs on it.
            logger.exception("%r failed.", wire.handler)
            counters.update({"failed": 1})

    return receive
