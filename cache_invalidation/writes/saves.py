"""Saves, observed where the row is written: inside of the transaction, old and new state at hand.

`pre_save` and `post_save` are not enough. In autocommit one comes before the only statement and the
other after its COMMIT: there is no moment to raise a fence, and no lock under which the old row can
be read. Wrapping the whole save in a transaction would move the project's own `post_save` receivers
into it, where a task that they start does not find the row yet. So it is the step between the two
signals that is wrapped, `Model._save_table`, and in autocommit it gets a transaction of its own. It
is not documented by Django; what is relied on is covered by tests on every supported version.
"""

from functools import wraps
from typing import Any, Final

from django.db import connections
from django.db.models import Model

from cache_invalidation.placeholders import key_as_stored
from cache_invalidation.registry import Plan, registry
from cache_invalidation.rules import Change
from cache_invalidation.sql import Kind
from cache_invalidation.tags import table_of
from cache_invalidation.writes import rows
from cache_invalidation.writes.accounted import Account, accounting
from cache_invalidation.writes.collect import collect, is_suspended
from cache_invalidation.writes.writing import writing

_OLD: Final = "_cache_invalidation_old"
_KINDS: Final[frozenset[Kind]] = frozenset({"insert", "update"})

# Whoever wraps what is wrapped here takes its attributes along.
_MARK: Final = "_cache_invalidation_observes"


def install() -> None:
    """Wrap `Model._save_table`. May be called again."""
    model: Any = Model
    if not is_installed():
        model._save_table = _observed(model._save_table)
        setattr(model._save_table, _MARK, True)


def is_installed() -> bool:
    """Whether saves are observed: nobody has put the method back, or another in its place."""
    model: Any = Model
    return hasattr(model._save_table, _MARK)


def _observed(save_table: Any) -> Any:
    @wraps(save_table)
    def wrapper(
        self: Model,
        raw: bool = False,
        cls: Any = None,
        force_insert: bool = False,
        force_update: bool = False,
        using: Any = None,
        update_fields: Any = None,
    ) -> bool:
        arguments = raw, cls, force_insert, force_update, using, update_fields
        plan = registry.plan(type(self))
        if not plan or is_suspended(using):
            return bool(save_table(self, *arguments))
        with writing(connections[using]):
            return _save(self, save_table, arguments, plan)

    return wrapper


def _save(instance: Model, save_table: Any, arguments: Any, plan: Plan) -> bool:
    """Save one table of `instance`; collect the change once the last of them is saved.

    A multi-table child has its parents' tables saved first, in calls of their own: the row before
    has to be read at the first call, and the row after at the last.
    """
    raw, cls, _, _, using, update_fields = arguments
    attributes, table = instance.__dict__, table_of(type(instance))
    if plan.needs_state and _OLD not in attributes:
        is_new = instance.pk is None or _will_be_inserted(instance, *arguments)
        attributes[_OLD] = None if is_new else rows.read(table, instance.pk, using)
    is_last, parent, key = cls is table, None, getattr(instance, cls._meta.pk.attname)
    if not is_last and plan.needs_state and attributes[_OLD] is None:
        # A parent's row that is there already, and becomes that of a child.
        parent = None if key is None else rows.read(cls, key, using)
    account = Account(using, frozenset({cls}), _KINDS, key_as_stored(cls, key))
    try:
        with accounting(account):
            updated = bool(save_table(instance, *arguments))
    except BaseException:
        attributes.pop(_OLD, None)
        raise
    if parent is not None:
        collect(Change(model=cls, operation="update", using=using, pk=parent.pk, old=parent))
    if is_last:
        old = new = attributes.pop(_OLD, None)
        if plan.needs_state:
            instance._state.db = using  # As Django does next; relations are looked up there.
            # A row that others have added since it was looked for has been in a state unknown.
            is_told = old is not None or not updated
            new = rows.state_after(instance, old, update_fields, using, raw) if is_told else None
        collect(
            Change(
                model=cls,
                operation="update" if updated else "create",
                using=using,
                pk=instance.pk,
                old=old,
                new=new,
            )
        )
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
