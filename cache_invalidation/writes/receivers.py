"""Django's signals, turned into changes.

Those connected here arrive inside of the transaction that Django opens for the operation itself;
for saves, which have none, see `cache_invalidation.writes.saves`.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from itertools import chain
from typing import Any

from django.apps import apps
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import Model, signals
from django.dispatch import Signal

from cache_invalidation.connections import in_transaction, shielded
from cache_invalidation.delivery.fencing import batch_of, deliver
from cache_invalidation.metrics.counters import counters
from cache_invalidation.observing.many_to_many import Announced, announced
from cache_invalidation.observing.relations import holds_to
from cache_invalidation.rules import catalog
from cache_invalidation.rules.catalog import all_rows
from cache_invalidation.rules.declarations import Change
from cache_invalidation.rules.registry import Wire, registry
from cache_invalidation.rules.templates import key_as_stored
from cache_invalidation.sql import Kind
from cache_invalidation.tags import table_of
from cache_invalidation.transactions.batch import Batch
from cache_invalidation.transactions.open_batches import batches, current_batch
from cache_invalidation.writes import rows
from cache_invalidation.writes.collect import add, collect, is_suspended
from cache_invalidation.writes.events import add_targets

logger = logging.getLogger("cache_invalidation")


def _before_delete(sender: type[Model], instance: Model, using: str, **kwargs: Any) -> None:
    if is_suspended(using):
        return
    model = table_of(sender)
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
    if is_suspended(using):
        return
    if pk_set is not None and not pk_set:
        return
    relations = _Relations(sender, instance, model, reverse, pk_set, using)
    note = relations.note(action)
    if action.startswith("pre_"):
        relations.announce(note)
    if action in ("pre_clear", "post_add", "post_remove"):
        relations.collect()
    if action.startswith("post_"):  # Not before: collecting may query, and be interrupted.
        for batch in batches(connections[using]):
            batch.started.pop(note, None)


class _Relations:
    """Those of `instance` to rows of `model`, of which a signal tells.

    The rows are `named` by what the relation refers to them by; all that are related, if by None.
    """

    def __init__(
        self,
        through: type[Model],
        instance: Model,
        model: type[Model],
        reverse: bool,
        named: set[Any] | None,
        using: str,
    ) -> None:
        self.through, self.instance, self.named, self.using = through, instance, named, using
        self.owner, self.related = table_of(type(instance)), table_of(model)
        # The many-to-many field, if it is Django's, and its foreign keys to both. Where several go
        # through the same model, the signal does not say which one it is.
        fields: Iterable[Any] = (model if reverse else type(instance))._meta.many_to_many
        found = [each for each in fields if each.remote_field.through is through]
        self.field = found[0] if len(found) == 1 else None
        if len(found) > 1:
            self.named = None
        if self.field is not None:
            ends = self.field.m2m_field_name(), self.field.m2m_reverse_field_name()
            self.source, self.target = reversed(ends) if reverse else ends

    def note(self, action: str) -> Announced:
        """Return the note of what Django does between two signals; both are sent the same."""
        values = {}
        if self.field is not None:
            referred: Any = self.through._meta.get_field(self.source)
            key = getattr(self.instance, referred.target_field.attname)
            values = {self.source: [key], self.target: self.named}
        kind: Kind = "insert" if action.endswith("_add") else "delete"
        return announced(self.through, kind, values, connections[self.using])

    def announce(self, note: Announced) -> None:
        """Have the watcher leave to the signals what the statements between two of them do.

        Should the second one not come, since something was raised, COMMIT tells of all rows.
        """
        connection = connections[self.using]
        if in_transaction(connection):
            current_batch(connection, deliver).started[note] = self._add_unknown

    def _changes(self) -> tuple[Change, Change]:
        """Return the changes at both ends, of rows of which it is not known which they are."""
        owner = Change(model=self.owner, operation="m2m", using=self.using)
        related = replace(owner, model=self.related)
        if self.field is None:
            return owner, related
        names: Any = catalog.relation_names()
        ends = (self.through._meta.get_field(name) for name in (self.source, self.target))
        of_owner, of_related = (names.get(end) for end in ends)
        return replace(owner, fields=of_owner), replace(related, fields=of_related)

    def _add_unknown(self, batch: Batch) -> None:
        for change in self._changes():
            add(batch, change)

    def collect(self) -> None:
        """Collect what changes at both ends."""
        keys = self.named if self.field is None else self._keys()
        if keys is not None and not keys:
            return
        owner, related = self._changes()
        _collect_of_rows(owner, {self.instance.pk})
        if keys is None:
            collect(related)
        else:
            _collect_of_rows(related, keys)

    def _keys(self) -> set[Any] | None:
        """Return the primary keys of the rows that are related, or cease to be.

        The relation names them by its ``to_field``; or it is about to be cleared, and does not name
        them. None if it would take a query that no rule is worth, or if others may add more of them
        meanwhile.
        """
        through: Any = self.through
        target = through._meta.get_field(self.target)
        referred, named = target.foreign_related_fields[0], self.named
        if named is not None and referred.primary_key:
            return named
        if not any(registry.plan(model).needs_state for model in (self.owner, self.related)):
            return None
        if named is None:
            if not holds_to(connections[self.using], through._meta.get_field(self.source)):
                return None
            # With all of these locked, nobody can add another relation to this row meanwhile, or
            # move one to another row at the other end.
            rows.read(self.owner, self.instance.pk, self.using, deleting=True)
            relations = all_rows(through, self.using).filter(**{self.source: self.instance})
            locked = rows.read_all(relations, self.using, deleting=True).values()
            named = {getattr(relation, target.attname) for relation in locked} - {None}
            if referred.primary_key:
                return named
        found = all_rows(referred.model, self.using).filter(**{f"{referred.name}__in": named})
        return set(found.values_list("pk", flat=True))


def _collect_of_rows(change: Change, keys: Iterable[Any]) -> None:
    """Collect `change` of each of the rows with these `keys`."""
    plan = registry.plan(change.model)
    if not plan:
        return
    found: dict[Any, Model] = {}
    if plan.needs_state:
        found = all_rows(change.model, change.using).in_bulk(list(keys))
    for key in keys:
        row = found.get(key)
        collect(replace(change, pk=key, old=row, new=row))


# Connecting: the registry is data, and this is what makes it act.

_connected: list[tuple[Signal, Any, Any]] = []


def install() -> None:
    """Connect receivers now and whenever the registry changes. May be called again."""
    registry.changed.connect(_reconnect, dispatch_uid="cache_invalidation.receivers")
    _reconnect()


def _reconnect(**kwargs: Any) -> None:
    """Connect receivers for exactly what the registry holds now.

    Django takes a receiver for a reason to query: it loads rows before it deletes them, and looks
    for relations before it adds them. So a model gets one only if a rule looks at the values of its
    rows. For the others the SQL watcher sees the statement.
    """
    wanted = {(signal, receiver, id(sender)): sender for signal, receiver, sender in _wanted()}
    for (signal, receiver, _), sender in wanted.items():
        signal.connect(receiver, sender=sender, weak=False)
    # Last, so that what other threads write meanwhile is seen all the time.
    for signal, receiver, sender in _connected:
        if (signal, receiver, id(sender)) not in wanted:
            signal.disconnect(receiver, sender=sender)
    _connected[:] = [(*key[:2], sender) for key, sender in wanted.items()]


def _wanted() -> Iterator[tuple[Signal, Any, Any]]:
    models = apps.get_models(include_auto_created=True)
    for model in models:
        if registry.plan(model).needs_state:
            yield signals.pre_delete, _before_delete, model
    for field in chain.from_iterable(model._meta.local_many_to_many for model in models):
        plans = registry.plan(field.model), registry.plan(field.related_model)
        through = field.remote_field.through
        if through in catalog.many_to_many():
            # For one half of what a symmetrical relation adds, Django sends no signal.
            is_wanted = not field.remote_field.symmetrical and any(p.needs_state for p in plans)
        else:
            # Its rows are written for other reasons as well, and Django looks what is there anyway.
            is_wanted = any(plans)
        if is_wanted:
            yield signals.m2m_changed, _m2m_changed, through
    for wire in registry.wires:
        yield wire.signal, _receiver_of(wire), wire.sender


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
