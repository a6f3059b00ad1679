"""Receivers of `m2m_changed` that write to the table of the relation themselves."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db.models import Model
from django.db.models.signals import m2m_changed

from cache_invalidation import ModelInvalidation, cached
from tests.cursors import execute
from tests.delivered import update_behind_the_back
from tests.ruled import in_force
from tests.testapp.models import Product, Tag

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "sqlite"]),
    # That the tag does not tell of relations that go along with a tag is not what this is about.
    pytest.mark.filterwarnings("ignore::cache_invalidation.CacheDependencyWarning"),
]

through: Any = Product.tags.through


@cached(name="relations of a product", tags=["testapp.product:{pk}"])
def of_product(pk: int, using: str) -> list[int]:
    found = through.objects.using(using).filter(product_id=pk)
    return sorted(found.values_list("tag_id", flat=True))


@cached(name="relations of a tag", tags=["testapp.tag:{pk}"])
def of_tag(pk: int, using: str) -> list[int]:
    found = through.objects.using(using).filter(tag_id=pk)
    return sorted(found.values_list("product_id", flat=True))


class Named(ModelInvalidation):
    tags = ["named:{name}"]


rule = in_force({Product: Named, Tag: Named})


@contextmanager
def receiver(when: str, is_first: bool, act: Callable[[], object]) -> Iterator[None]:
    """Have a receiver act before or after that of the app, as one connected in `models.py` does."""

    def receive(action: str, **kwargs: Any) -> None:
        if action.startswith(when):
            act()

    m2m_changed.connect(receive, sender=through)
    if is_first:
        m2m_changed.receivers.insert(0, m2m_changed.receivers.pop())
        m2m_changed.sender_receivers_cache.clear()
    try:
        yield
    finally:
        m2m_changed.disconnect(receive, sender=through)


CHANGES: dict[str, Callable[[Any, Any, Any], object]] = {
    "add": lambda p, q, t: p.tags.add(t),
    "remove": lambda p, q, t: p.tags.remove(*p.tags.all()),
    "clear": lambda p, q, t: p.tags.clear(),
    "add from the other end": lambda p, q, t: t.products.add(p),
}

ACTS: dict[str, Callable[[Any, Any, str], object]] = {
    "bulk_create": lambda q, t, using: through.objects.using(using).bulk_create(
        [through(product_id=q.pk, tag_id=t.pk)]
    ),
    "INSERT": lambda q, t, using: execute(
        using,
        "INSERT INTO testapp_product_tags (product_id, tag_id) VALUES (%s, %s)",
        [q.pk, t.pk],
    ),
    "DELETE": lambda q, t, using: execute(
        using, "DELETE FROM testapp_product_tags WHERE product_id = %s", [q.pk]
    ),
    "UPDATE": lambda q, t, using: execute(
        using, "UPDATE testapp_product_tags SET tag_id = %s WHERE product_id = %s", [t.pk, q.pk]
    ),
}


@pytest.mark.parametrize("act", ACTS.values(), ids=ACTS)
@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
@pytest.mark.parametrize(("when", "is_first"), [("post_", True), ("pre_", False)])
def test_another_relation_that_a_receiver_writes(
    using: str, when: str, is_first: bool, change: Any, act: Any
) -> None:
    p, q = (Product.objects.using(using).create(name=name) for name in "pq")
    t, u, v = (Tag.objects.using(using).create(name=name) for name in "tuv")
    p.tags.add(u)
    q.tags.add(v)

    def seen(products: Any, tags: Any) -> list[list[int]]:
        asked: list[tuple[Any, list[Model]]] = [(products, [p, q]), (tags, [t, u, v])]
        return [ask(row.pk, using) for ask, rows in asked for row in rows]

    before = seen(of_product, of_tag)
    acts = [lambda: act(q, t, using)]
    with receiver(when, is_first, lambda: acts and acts.pop()()):
        change(p, q, t)
    assert not acts
    right = seen(of_product.uncached, of_tag.uncached)
    assert seen(of_product, of_tag) == right != before


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_what_django_alone_writes_drops_no_other_row(using: str, change: Any) -> None:
    p, q = (Product.objects.using(using).create(name=name) for name in "pq")
    t, u, v = (Tag.objects.using(using).create(name=name) for name in "tuv")
    p.tags.add(u)
    q.tags.add(v)
    assert of_product(q.pk, using) == [v.pk]
    change(p, q, t)
    update_behind_the_back(through.objects.using(using).filter(product_id=q.pk), tag_id=t.pk)
    assert of_product(q.pk, using) == [v.pk]
