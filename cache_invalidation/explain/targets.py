"""`explain`: what saving or deleting something would make stale."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Literal

from django.db import connections, router
from django.db.models import Model, QuerySet
from django.db.models.base import ModelBase
from django.db.models.query import ModelIterable

from cache_invalidation.conf import settings
from cache_invalidation.explain import deletions
from cache_invalidation.explain.explanation import Explanation, effects_of, why_unwatched
from cache_invalidation.explain.states import is_known, saved
from cache_invalidation.rules.catalog import all_rows
from cache_invalidation.rules.declarations import Change
from cache_invalidation.tags import model_tag, row_tag, table_of
from cache_invalidation.writes.stored import fields_saved

Operation = Literal["save", "delete"]


def explain(
    target: Model | type[Model] | QuerySet[Any],
    /,
    *,
    operation: Operation = "save",
    using: str | None = None,
) -> Explanation:
    """Return what a write to `target` would invalidate, rule by rule; change nothing.

    `target` is an instance, as if it were saved as it is; its row is read, since the old state
    counts as well. Or it is a queryset, as if each of its rows were written, whatever changes in
    them; or a model, as if rows of it were, whichever they are. That is also what is said of more
    than ``ROW_TAG_LIMIT`` rows.

    With ``operation="delete"``, what Django and the database delete and update along with it
    counts as well. The rows concerned are read, as deleting them would.
    """
    if operation not in ("save", "delete"):
        raise ValueError(f"The operation is 'save' or 'delete', not {operation!r}.")
    if using is not None:
        connections[using]  # Which raises ConnectionDoesNotExist, and says what is wrong.
    if isinstance(target, QuerySet):
        return _of_queryset(target, operation, using or target.db)
    if isinstance(target, Model):
        using = using or router.db_for_write(type(target), instance=target)
        return _of_instance(target, operation, using)
    if target is not Model and isinstance(target, ModelBase):
        if target._meta.abstract or target._meta.swapped:
            raise TypeError(f"{target.__qualname__} has no table of its own.")
        subject = f"any row of {model_tag(target)}"
        return _of_any_row(target, operation, using or router.db_for_write(target), subject)
    raise TypeError(f"explain() takes an instance, a queryset or a model, not {target!r}.")


def _of_instance(instance: Model, operation: Operation, using: str) -> Explanation:
    kind, row = type(instance), saved(instance, using)
    model, old = table_of(kind), None
    if row.pk == instance.pk:
        old = all_rows(kind, using).filter(pk=instance.pk).first()
    subject = row_tag(model, row.pk)
    if operation == "delete":
        if old is None:
            return _nothing(
                subject, operation, "There is no such row, so nothing would be deleted."
            )
        return _of_deletion([old], model, using, subject)
    change = Change(
        model=model,
        operation="create" if old is None else "update",
        using=using,
        pk=row.pk,
        old=old,
        new=row,
        fields=None if old is None else fields_saved(model, None, using),
    )
    note = "A name in braces stands for a value that is known only after the write."
    return _of_changes(subject, model, [change], *([] if is_known(row, instance) else [note]))


def _of_queryset(queryset: QuerySet[Any], operation: Operation, using: str) -> Explanation:
    if not issubclass(queryset._iterable_class, ModelIterable):
        raise TypeError("explain() takes a queryset of instances, without values().")
    if operation == "delete" and queryset.query.is_sliced:
        raise TypeError("Django deletes no slice of a queryset, so there is nothing to explain.")
    model, limit = table_of(queryset.model), settings.ROW_TAG_LIMIT
    rows = list(queryset.using(using)[: limit + 1])
    if len(rows) > limit:
        subject = f"any row of {model_tag(model)} (there are more than {limit})"
        return _of_any_row(model, operation, using, subject)
    if not rows:
        note = "No row matches, so nothing would be invalidated."
        return _nothing(f"no row of {model_tag(model)}", operation, note)
    subject = f"{len(rows)} rows of {model_tag(model)}"
    if len(rows) == 1:
        subject = row_tag(model, rows[0].pk)
    if operation == "delete":
        return _of_deletion(queryset.using(using).order_by(), model, using, subject)
    any_row = Change(model=model, operation="manual", using=using)
    return _of_changes(subject, model, [replace(any_row, pk=row.pk, new=row) for row in rows])


def _of_any_row(model: type[Model], operation: Operation, using: str, subject: str) -> Explanation:
    table = table_of(model)
    if operation == "delete":
        return _of_changes(subject, table, deletions.of_any_row(table, using), operation=operation)
    return _of_changes(subject, table, [Change(model=table, operation="manual", using=using)])


def _of_changes(
    subject: str,
    model: type[Model],
    changes: Iterable[Change],
    *notes: str,
    operation: Operation = "save",
) -> Explanation:
    unwatched = why_unwatched(model)
    return Explanation(
        subject=subject,
        operation=operation,
        effects=effects_of(changes),
        notes=notes if unwatched is None else (unwatched,),
    )


def _nothing(subject: str, operation: Operation, why: str) -> Explanation:
    return Explanation(subject=subject, operation=operation, effects=(), notes=(why,))


def _of_deletion(
    rows: list[Model] | QuerySet[Any], model: type[Model], using: str, subject: str
) -> Explanation:
    try:
        return _of_changes(subject, model, deletions.of_rows(rows, using), operation="delete")
    except deletions.REFUSED as error:
        return _nothing(subject, "delete", f"Django would refuse it: {error.args[0]}")
