"""Django's signals, turned into changes.

Those connected here arrive inside of the transaction that Django opens for the operation itself;
for saves, which have none, see `cache_invalidation.writes.saves`.
"""

import logging
from collections.abc import Iterable
from functools import cache
from itertools import chain
from typing import Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS
from django.db.models import Model, signals
from django.dispatch import Signal

from cache_invalidation.catalog import all_rows
from cache_invalidation.delivery import batch_of
from cache_invalidation.metrics.counters import counters
from cache_invalidation.placeholders import key_as_stored
from cache_invalidation.registry import Wire, registry
from cache_invalidation.rules import Change
from cache_invalidation.tags import table_of
from cache_invalidation.transactions import shielded
from cache_invalidation.writes import rows
from cache_invalidation.writes.collect import add, collect, is_suspended
from cache_invalidation.writes.events import add_targets

logger = logging.getLogger("cache_invalidation")


def _before_delete(sender: type[Model], instance: Model, using: str, **kwargs: Any) -> None:
    if is_suspended(using):
        return
    model, old = table_of(sender), None
    if registry.plan(model).needs_state:
        old = rows.read(model, instance.pk, using, deleting=True)
    with batch_of(using) as batch:
        add(batch, Change(model=model, operation="delete", using=using, pk=instance.pk, old=old))
        batch.reported.add((model, key_as_stored(model, instance.pk)))


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
    if action not in ("pre_clear", "post_add", "post_remove") or is_suspended(using):
        return
    owner = table_of(type(instance))
    field = _relation(sender, model if reverse else type(instance))
    if field is not None and action == "pre_clear":
        pk_set = _related_keys(field, instance, reverse, using)
    elif field is not None and pk_set:
        pk_set = _primary_keys(field, model, reverse, pk_set, using)
    if pk_set is not None and not pk_set:
        return
    _collect_related(owner, {instance.pk}, using)
    if pk_set is None:
        collect(Change(model=table_of(model), operation="m2m", using=using))
    else:
        _collect_related(table_of(model), pk_set, using)


def _relation(through: type[Model], holder: type[Model]) -> Any:
    """Return the many-to-many field of `holder` that goes through `through`, if it is Django's."""
    fields = holder._meta.many_to_many
    return next((field for field in fields if field.remote_field.through is through), None)


def _primary_keys(
    field: Any, model: type[Model], reverse: bool, keys: set[Any], using: str
) -> set[Any]:
    """Return the primary keys of the rows that the relation names by `keys`, its ``to_field``."""
    name = field.m2m_field_name() if reverse else field.m2m_reverse_field_name()
    target = field.remote_field.through._meta.get_field(name).foreign_related_fields[0]
    if target.primary_key:
        return keys
    named = all_rows(model, using).filter(**{f"{target.name}__in": keys})
    return set(named.values_list("pk", flat=True))


def _collect_related(model: type[Model], keys: Iterable[Any], using: str) -> None:
    plan = registry.plan(model)
    if not plan:
        return
    found: dict[Any, Model] = {}
    if plan.needs_state:
        found = all_rows(model, using).in_bulk(list(keys))
    for key in keys:
        row = found.get(key)
        collect(Change(model=model, operation="m2m", using=using, pk=key, old=row, new=row))


def _related_keys(field: Any, instance: Model, reverse: bool, using: str) -> set[Any]:
    """Return the primary keys of the rows whose relation to `instance` is about to be cleared.

    With the row of `instance` locked, nobody can add another relation to it meanwhile.
    """
    rows.read(table_of(type(instance)), instance.pk, using, deleting=True)
    source, target = field.m2m_field_name(), field.m2m_reverse_field_name()
    if reverse:
        source, target = target, source
    relations = all_rows(field.remote_field.through, using)
    related = relations.filter(**{source: instance})
    return set(related.values_list(f"{target}__pk", flat=True))


# Connecting: the registry is data, and this is what makes it act.

_connected: list[tuple[Signal, Any, Any]] = []


def install() -> None:
    """Connect receivers now and whenever the registry changes. May be called again."""
    registry.changed.connect(_reconnect, dispatch_uid="cache_invalidation.receivers")
    _reconnect()


def _reconnect(**kwargs: Any) -> None:
    """Connect receivers for exactly what the registry holds now.

    Only models with a rule get one for deletions: Django deletes rows of the others without loading
    them, and the SQL watcher sees the statement.
    """
    obsolete = list(_connected)
    _connected.clear()
    models = apps.get_models(include_auto_created=True)
    for model in models:
        if registry.plan(model).is_declared:
            _connect(signals.pre_delete, _before_delete, model)
    for field in chain.from_iterable(model._meta.local_many_to_many for model in models):
        if registry.plan(field.model) or registry.plan(field.related_model):
            _connect(signals.m2m_changed, _m2m_changed, field.remote_field.through)
    for wire in registry.wires:
        _connect(wire.signal, _receiver_of(wire), wire.sender)
    # Last, so that what other threads write meanwhile is seen all the time.
    for signal, receiver, sender in obsolete:
        if (signal, receiver, sender) not in _connected:
            signal.disconnect(receiver, sender=sender)


def is_installed() -> bool:
    """Whether every receiver is still connected."""
    signals = {signal for signal, _, _ in _connected}
    connected = {(signal, *lookup) for signal in signals for lookup, *_ in signal.receivers}
    # A sender that was named by a string is known by its class.
    return all(
        (signal, id(receiver), id(sender)) in connected
        for signal, receiver, sender in _connected
        if not isinstance(sender, str)
    )


def _connect(signal: Signal, receiver: Any, sender: Any) -> None:
    signal.connect(receiver, sender=sender, weak=False)
    _connected.append((signal, receiver, sender))


@cache
def _receiver_of(wire: Wire) -> Any:
    def receive(sender: Any, signal: Signal, **kwargs: Any) -> None:
        using = kwargs.get("using") or DEFAULT_DB_ALIAS
        if is_suspended(using):
            return
        try:
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
