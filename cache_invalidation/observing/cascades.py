"""What the database does by itself when rows go, and no statement tells: it follows foreign keys.

Which ones is known from the models: those whose ``on_delete`` leaves it to the database.
"""

from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any, Final

from django.db import models
from django.db.models import Model
from django.db.models.deletion import get_candidate_relations_to_delete
from django.db.models.signals import class_prepared
from django.dispatch import receiver

from cache_invalidation.rules import catalog
from cache_invalidation.rules.declarations import Change, Operation
from cache_invalidation.rules.registry import registry
from cache_invalidation.sql import Statement

# Django 5.2 has only the first: it is how a project says that it has written the constraint itself.
_DELETED: Final = {models.DO_NOTHING, getattr(models, "DB_CASCADE", None)}
_UPDATED: Final = {getattr(models, name, None) for name in ("DB_SET_NULL", "DB_SET_DEFAULT")}


def changes(statement: Statement, using: str) -> Iterator[Change]:
    """Yield the changes to rows of watched models that refer to those that `statement` deletes."""
    for write in statement.writes:
        if write.kind not in ("delete", "replace", "merge"):
            continue  # Which is what a save meets.
        for model in catalog.models_by_table()[write.table]:
            for child, operation in deleted_with(model):
                if registry.plan(child):
                    yield Change(model=child, operation=operation, using=using)


@cache
def deleted_with(model: type[Model]) -> tuple[tuple[type[Model], Operation], ...]:
    """Return the models of which rows are deleted, or updated, along with rows of `model`."""
    found: dict[type[Model], Operation] = {}
    waiting = [model]
    while waiting:
        relations: Iterable[Any] = get_candidate_relations_to_delete(waiting.pop()._meta)
        for relation in relations:
            child = relation.related_model
            if not isinstance(relation, models.ManyToOneRel):
                continue  # That of fields without a constraint.
            if relation.on_delete in _DELETED:
                if found.get(child) != "delete":
                    found[child] = "delete"
                    waiting.append(child)
            elif relation.on_delete in _UPDATED:
                found.setdefault(child, "update")
    return tuple(found.items())


def is_left(relation: Any) -> bool:
    """Whether it is left to the database what happens to the rows that `relation` leads to."""
    return relation.on_delete in _DELETED | _UPDATED


@receiver(class_prepared, dispatch_uid="cache_invalidation.observing.cascades")
def _look_again(**kwargs: Any) -> None:
    deleted_with.cache_clear()
