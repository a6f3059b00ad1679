"""Saves, observed where the row is written: inside of the transaction, old and new state at hand.

`pre_save` and `post_save` are not enough. In autocommit one comes before the only statement and the
other after its COMMIT: there is no moment to raise a fence, and no lock under which the old row can
be read. Wrapping the whole save in a transaction would move the project's own `post_save` receivers
into it, where a task that they start does not find the row yet. So it is the step between the two
signals that is wrapped, `Model._save_table`, and in autocommit it gets a transaction of its own. It
is not documented by Django; what is relied on is covered by tests on every supported version.

Where the old row is read, that transaction begins before it. Otherwise it waits for the statement,
so that a field which stores a file, or asks the database, does so outside of it.

A multi-table child has its parents' tables saved first, in calls of their own. `Model.save_base`,
which makes all of these calls, is wrapped to know which of them belong together.
"""

from contextlib import ExitStack
from contextvars import ContextVar
from dataclasses import replace
from typing import Any

from django.db import connections
from django.db.models import Model

from cache_invalidation.context import during
from cache_invalidation.rules.declarations import Change
from cache_invalidation.rules.registry import registry
from cache_invalidation.tags import table_of
from cache_invalidation.wrapping import is_wrapped, wrap
from cache_invalidation.writes import rows
from cache_invalidation.writes.accounted import Account
from cache_invalidation.writes.begun import Begun
from cache_invalidation.writes.collect import collect, is_suspended
from cache_invalidation.writes.compiled import accounting
from cache_invalidation.writes.stored import fields_saved, key_of
from cache_invalidation.writes.writing import writing


def install() -> None:
    """Wrap both methods. May be called again."""
    wrap(Model, "save_base", _observed_save)
    wrap(Model, "_save_table", _observed)


def is_installed() -> bool:
    """Whether saves are observed."""
    return is_wrapped(Model, "save_base") and is_wrapped(Model, "_save_table")


class _Save(Begun):
    """One save of `instance` on its way through its tables."""

    __slots__ = ("has_looked", "instance", "old", "parents")

    def __init__(self, instance: Model) -> None:
        super().__init__()
        self.instance = instance
        # The row as it was, None if there was none; known once somebody `has_looked`.
        self.old: Model | None = None
        self.has_looked = False
        # The changes to rows of parents that were there before, and may not have been a child's.
        self.parents: list[Change] = []


# Those of this thread or task that are on their way, the innermost last. It is not kept on the
# instance, which may be copied, pickled or saved once more in the middle of it.
_saves: ContextVar[tuple[_Save, ...]] = ContextVar("cache_invalidation_saves", default=())


def _observed_save(save_base: Any, instance: Model, /, *args: Any, **kwargs: Any) -> None:
    if not table_of(type(instance))._meta.parents:
        save_base(instance, *args, **kwargs)
        return
    with _Save(instance) as save, during(_saves, (*_saves.get(), save)):
        save_base(instance, *args, **kwargs)


def _observed(
    save_table: Any,
    instance: Model,
    /,
    raw: bool = False,
    cls: Any = None,
    force_insert: bool = False,
    force_update: bool = False,
    using: Any = None,
    update_fields: Any = None,
) -> bool:
    arguments = raw, cls, force_insert, force_update, using, update_fields
    plan = registry.plan(type(instance))
    if not plan or is_suspended(using):
        return bool(save_table(instance, *arguments))
    model = table_of(type(instance))
    fields = fields_saved(model, update_fields, using) if plan.needs_state else None
    # All tables of a child are told of by what is in them.
    is_told = plan.is_told_by(fields) and not model._meta.parents
    needs_state = plan.needs_state and not is_told
    with ExitStack() as block:
        if needs_state:
            block.enter_context(writing(connections[using]))
        for save in reversed(_saves.get()):
            if save.instance is instance:
                return _save(save, save_table, arguments, fields, needs_state, block)
        with _Save(instance) as save:
            return _save(save, save_table, arguments, fields, needs_state, block)


def _save(
    save: _Save,
    save_table: Any,
    arguments: Any,
    fields: frozenset[str] | None,
    needs_state: bool,
    block: ExitStack,
) -> bool:
    """Save one table of an instance; tell all that was done once it was the last of them."""
    raw, cls, _, _, using, update_fields = arguments
    instance = save.instance
    table, parent, key = table_of(type(instance)), None, getattr(instance, cls._meta.pk.attname)
    if needs_state and not save.has_looked:
        is_new = instance.pk is None or _will_be_inserted(instance, *arguments)
        save.old = None if is_new else rows.read(table, instance.pk, using)
        save.has_looked = True
    if cls is not table and needs_state and save.old is None:
        # A parent's row that is there already, and becomes that of a child.
        parent = None if key is None else rows.read(cls, key, using)
    with accounting(Account(using, frozenset({cls}), save, block), [instance]):
        updated = bool(save_table(instance, *arguments))
    if cls is not table:
        if parent is not None or (updated and not needs_state):
            new = None if parent is None else rows.read(cls, key, using)
            save.parents.append(
                Change(model=cls, operation="update", using=using, pk=key, old=parent, new=new)
            )
        return updated
    own = Change(
        model=table,
        operation="update" if updated else "create",
        using=using,
        pk=key_of(instance, table),
        fields=fields,
        links={} if updated else save.links,
    )
    if needs_state:
        instance._state.db = using  # As Django does next; relations are looked up there.
        # A row that others have added since it was looked for has been in a state unknown.
        if save.old is not None or not updated:
            new = rows.state_after(instance, save.old, update_fields, using, raw)
            # A row that is not found under its key has got another one.
            own = replace(own, pk=None if new is None else new.pk, old=save.old, new=new)
    elif table._meta.parents and all(
        key_of(instance, parent) is not None for parent in table._meta.all_parents
    ):
        own = replace(own, new=instance)  # It knows the keys of its rows in its parents' tables.
    # The row of a child that was there before is told with it.
    for change in (*(save.parents if needs_state or not updated else ()), own):
        collect(change)
    save.end()
    return updated


def _will_be_inserted(
    instance: Model,
    raw: bool,
    cls: Any,
    force_insert: bool,
    force_update: bool,
    using: str,
    update_fields: Any,
) -> bool:
    """Whether Django inserts without trying to update: it is told to, or the key is made up."""
    if force_insert or force_update or update_fields or raw:
        return force_insert
    key = instance._meta.pk
    return instance._state.adding and (key.has_default() or key.has_db_default())
