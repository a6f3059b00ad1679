"""Rows that others move to another row while the one that they belonged to is being deleted.

Django has found them by then. What it deletes along by their keys is no longer there where it was
found: whatever shows the row to which it was moved has to be told.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from django.db import DatabaseError, connection, transaction
from django.db.models.signals import post_delete, pre_delete

from cache_invalidation import ModelInvalidation, cached
from cache_invalidation.testing import override_rules
from tests.elsewhere import elsewhere
from tests.testapp.models import Author, Authorship, Book, Category, Product, Review, Tag

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.filterwarnings("ignore::cache_invalidation.CacheDependencyWarning"),
]


@dataclass(frozen=True)
class Kind:
    """Rows of `child` that belong to those of `parent` by their foreign key `link`."""

    child: Any
    link: str
    parent: Any
    values: Callable[[], dict[str, Any]] = dict

    def __str__(self) -> str:
        return f"{self.child.__name__}.{self.link}"

    def of(self, parent: int) -> list[int]:
        found = self.child._base_manager.filter(**{f"{self.link}_id": parent})
        return sorted(found.values_list("pk", flat=True))


def named(model: Any) -> Any:
    title = "title" if model is Book else "name"
    return model.objects.create(**{title: "x"})


KINDS = [
    Kind(Review, "product", Product),
    Kind(Product, "category", Category),
    Kind(Product, "featured_in", Category),
    Kind(Authorship, "book", Book, lambda: {"author": named(Author)}),
    Kind(Product.tags.through, "product", Product, lambda: {"tag": named(Tag)}),
    Kind(Product.tags.through, "tag", Tag, lambda: {"product": named(Product)}),
]

#: Which rules there are: of the row that goes, of those that belong to it, of both, and of none.
RULES = ["", "parent", "child", "both"]


def rules_of(kind: Kind, which: str) -> dict[Any, Any]:
    class ByLink(ModelInvalidation):
        track = [kind.link]
        tags = [f"belongs-to:{{{kind.link}_id}}"]

    class ByName(ModelInvalidation):
        tags = ["titled:{title}" if kind.parent is Book else "titled:{name}"]

    found: dict[Any, type[ModelInvalidation]] = {}
    if which in ("parent", "both"):
        found[kind.parent] = ByName
    if which in ("child", "both"):
        found[kind.child] = ByLink
    return found


@pytest.mark.parametrize("kind", KINDS, ids=str)
@pytest.mark.parametrize("which", RULES, ids=lambda which: which or "none")
@pytest.mark.parametrize("is_heard", [False, True], ids=["fast", "loaded"])
@pytest.mark.parametrize("before", ["parent", "child"])
def test_the_row_that_it_was_moved_to_is_told(
    kind: Kind, which: str, is_heard: bool, before: str
) -> None:
    one, other = named(kind.parent), named(kind.parent)
    child = kind.child._base_manager.create(**{kind.link: one}, **kind.values())
    recorded = cached(name=f"recorded {kind}")(kind.of)
    given = cached(
        name=f"given {kind}",
        tags=["belongs-to:{parent}", f"{kind.parent._meta.label_lower}:{{parent}}"],
    )(kind.of)
    shown = (
        [recorded, given]
        if which in ("child", "both") or kind.child._meta.auto_created
        else [recorded]
    )
    filled: list[Any] = []

    def move() -> None:
        try:
            with transaction.atomic(), connection.cursor() as cursor:
                cursor.execute("SET LOCAL lock_timeout = '500ms'")
                kind.child._base_manager.filter(pk=child.pk).update(**{kind.link: other})
        except DatabaseError:
            pass  # It is locked by whoever deletes it.
        filled.append([function(other.pk) for function in shown])

    def listen(sender: Any, **kwargs: Any) -> None:
        if sender is {"parent": kind.parent, "child": kind.child}[before] and not filled:
            elsewhere(move)

    def hear(**kwargs: Any) -> None:
        """Have Django load what it deletes."""

    with override_rules(rules_of(kind, which)):
        pre_delete.connect(listen, sender=None if is_heard else kind.parent)
        if is_heard:
            post_delete.connect(hear)
        try:
            one.delete()
        finally:
            pre_delete.disconnect(listen, sender=None if is_heard else kind.parent)
            post_delete.disconnect(hear)
        for function in shown:
            assert function(other.pk) == kind.of(other.pk)
