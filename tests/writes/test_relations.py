"""Many-to-many relations, deletes and cascades, as rules see them."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import pytest
from django.core import serializers
from django.db import connection, connections, models, transaction
from django.db.models.signals import post_save, pre_delete
from django.test.utils import CaptureQueriesContext, override_settings
from django.utils.timezone import now

from cache_invalidation import Change, ModelInvalidation, cached, no_invalidation, registry
from cache_invalidation import Tag as NamedTag
from cache_invalidation.writes import receivers
from tests.cursors import execute
from tests.delivered import Delivered
from tests.elsewhere import elsewhere
from tests.ruled import ByCategory, ByName, in_force
from tests.testapp.made import make_model, models_forgotten
from tests.testapp.models import (
    Author,
    Authorship,
    Book,
    Category,
    Product,
    Review,
    Tag,
    Unregistered,
)
from tests.testapp.related import BestPal, OldPal

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


class TagRule(ModelInvalidation):
    tags = ["tag-name:{name}"]


rules = in_force({Product: ByCategory, Tag: TagRule})


@pytest.fixture
def product(using: str) -> Product:
    category = Category.objects.using(using).create(name="A")
    return Product.objects.using(using).create(name="P", category=category)


@pytest.fixture
def tags(using: str) -> list[Tag]:
    return [Tag.objects.using(using).create(name=name) for name in ("red", "green", "blue")]


def tags_of(product: Product, *tags: Tag) -> set[str]:
    return {
        "testapp.product+m2m",
        f"testapp.product+m2m:{product.pk}",
        f"category:{product.category_id}",
        "testapp.tag+m2m",
        *(f"testapp.tag+m2m:{tag.pk}" for tag in tags),
        *(f"tag-name:{tag.name}" for tag in tags),
        # The rows of the relation itself have keys that no statement names; it names their ends.
        *("testapp.product_tags", "testapp.product_tags:*"),
        f"testapp.product_tags.product_id:{product.pk}",
        *(f"testapp.product_tags.tag_id:{tag.pk}" for tag in tags),
    }


def cleared(product: Product, *tags: Tag, by: str) -> set[str]:
    """Return the tags that are dropped if the statement names one end only, `by` its column."""
    other = {"product": "tag", "tag": "product"}[by]
    column = f"testapp.product_tags.{other}_id:"
    named = {tag for tag in tags_of(product, *tags) if not tag.startswith(column)}
    return named | {f"{column}*"}


def delivered(deliveries: Delivered) -> set[str]:
    assert len(deliveries) == 1
    found = set(deliveries[0].tags)
    deliveries.clear()
    return found


def test_adding_removing_and_setting_name_the_rows_of_both_sides(
    product: Product, tags: list[Tag], deliveries: Delivered
) -> None:
    red, green, blue = tags
    deliveries.clear()
    product.tags.add(red, green)
    assert delivered(deliveries) == tags_of(product, red, green)
    product.tags.remove(red)
    assert delivered(deliveries) == tags_of(product, red)
    product.tags.set([blue])
    assert delivered(deliveries) == tags_of(product, green, blue)


def test_clearing_names_the_rows_that_were_related(
    product: Product, tags: list[Tag], deliveries: Delivered
) -> None:
    red, green, _ = tags
    product.tags.add(red, green)
    deliveries.clear()
    product.tags.clear()
    assert delivered(deliveries) == cleared(product, red, green, by="product")


def test_the_other_side_does_the_same(
    product: Product, tags: list[Tag], deliveries: Delivered
) -> None:
    red = tags[0]
    deliveries.clear()
    red.products.add(product)
    assert delivered(deliveries) == tags_of(product, red)
    red.products.clear()
    assert delivered(deliveries) == cleared(product, red, by="tag")


def test_adding_what_is_there_already_invalidates_nothing(
    product: Product, tags: list[Tag], deliveries: Delivered
) -> None:
    product.tags.add(tags[0])
    deliveries.clear()
    product.tags.add(tags[0])
    assert deliveries == []


def test_a_relation_through_a_model_names_both_sides(using: str, deliveries: Delivered) -> None:
    book = Book.objects.using(using).create(title="B")
    author = Author.objects.using(using).create(name="A")
    deliveries.clear()
    with (
        registry.override(Book, ModelInvalidation),
        registry.override(Author, ModelInvalidation),
        registry.override(Book.authors.through, ModelInvalidation),
    ):
        book.authors.add(author, through_defaults={"role": "editor"})
    assert delivered(deliveries) == {
        *("testapp.book+m2m", f"testapp.book+m2m:{book.pk}"),
        *("testapp.author+m2m", f"testapp.author+m2m:{author.pk}"),
        *("testapp.authorship", f"testapp.authorship:{Authorship.objects.using(using).get().pk}"),
        f"testapp.authorship.book_id:{book.pk}",
        f"testapp.authorship.author_id:{author.pk}",
    }


def test_a_delete_names_the_state_of_the_database_not_that_of_the_instance(
    product: Product, deliveries: Delivered
) -> None:
    pk, category_id = product.pk, product.category_id
    deliveries.clear()
    product.category_id = None
    product.delete()
    assert delivered(deliveries) == {
        "testapp.product",
        f"testapp.product:{pk}",
        f"category:{category_id}",
    }


def test_deleting_a_queryset_names_every_row(
    product: Product, using: str, deliveries: Delivered
) -> None:
    other = Product.objects.using(using).create(name="Q")
    names = {f"testapp.product:{row.pk}" for row in (product, other)}
    deliveries.clear()
    Product.objects.using(using).all().delete()
    assert delivered(deliveries) >= names


def test_a_cascade_names_the_rows_it_deletes(
    product: Product, using: str, deliveries: Delivered
) -> None:
    row = f"testapp.product:{product.pk}"
    deliveries.clear()
    Category.objects.using(using).get().delete()
    assert row in delivered(deliveries)


def test_models_without_a_rule_are_deleted_as_fast_as_ever(product: Product) -> None:
    Review.objects.using(product._state.db).create(product=product)
    assert not pre_delete.has_listeners(Review)
    assert not pre_delete.has_listeners(Unregistered)
    assert pre_delete.has_listeners(Product)


def test_a_fixture_names_its_rows(using: str, deliveries: Delivered) -> None:
    category = Category.objects.using(using).create(name="A")
    product = Product(pk=77, name="from a fixture", category=category, created=now())
    text = serializers.serialize("json", [product])
    deliveries.clear()
    for item in serializers.deserialize("json", text, using=using):
        item.save(using=using)
    assert "testapp.product:77" in deliveries[0].tags
    assert f"category:{category.pk}" in deliveries[0].tags


def test_a_save_that_fails_invalidates_nothing_and_leaves_no_trace(
    product: Product, deliveries: Delivered
) -> None:
    deliveries.clear()
    product.name = None  # type: ignore[assignment]
    with pytest.raises(Exception, match=r"(?i)not.null"):
        product.save()
    assert deliveries == []
    product.name = "fine"
    product.save()
    assert len(deliveries) == 1
    assert not [name for name in vars(product) if "invalidation" in name]


def test_a_receiver_that_saves_again_loses_no_state(
    product: Product, using: str, deliveries: Delivered
) -> None:
    b, c = (Category.objects.using(using).create(name=name) for name in "BC")
    a = product.category_id
    deliveries.clear()

    def move_on(instance: Product, **kwargs: object) -> None:
        if instance.category_id == b.pk:
            instance.category = c
            instance.save()

    post_save.connect(move_on, sender=Product)
    try:
        product.category = b
        product.save()
    finally:
        post_save.disconnect(move_on, sender=Product)
    named = set().union(*(delivery.tags for delivery in deliveries))
    assert named >= {f"category:{pk}" for pk in (a, b.pk, c.pk)}


def test_post_save_in_autocommit_still_comes_after_commit(product: Product, using: str) -> None:
    seen = []

    def look(instance: Product, **kwargs: object) -> None:
        seen.append(connections[using].in_atomic_block)

    post_save.connect(look, sender=Product)
    try:
        product.save()
    finally:
        post_save.disconnect(look, sender=Product)
    assert seen == [False]


def test_an_excluded_model_is_saved_without_a_transaction_or_a_query_of_ours() -> None:
    with override_settings(CACHE_INVALIDATION={"EXCLUDE": ["testapp.Unregistered"]}):
        row = Unregistered.objects.create(name="x")
        with CaptureQueriesContext(connection) as queries:
            row.save()
    assert len(queries) == 1


@pytest.mark.parametrize("rule", [None, ModelInvalidation])
def test_without_a_rule_that_has_placeholders_no_old_state_is_read(
    rule: type[ModelInvalidation] | None,
) -> None:
    with registry.override(Unregistered, rule):
        row = Unregistered.objects.create(name="x")
        with CaptureQueriesContext(connection) as queries:
            row.save()
    assert [query["sql"].split()[0] for query in queries] == ["BEGIN", "UPDATE", "COMMIT"]


def test_the_key_decides_what_change_a_rule_is_told(product: Product) -> None:
    seen: list[Change] = []

    class Curious(ModelInvalidation):
        def get_tags(self, change: Change) -> list[str]:
            seen.append(change)
            return []

    with registry.override(Product, Curious):
        product.name = "renamed"
        product.save()
        created = Product.objects.using(product._state.db).create(name="created")
        created.delete()
    assert [change.operation for change in seen] == ["update", "create", "delete"]
    names = [(getattr(c.old, "name", None), getattr(c.new, "name", None)) for c in seen]
    assert names == [("P", "renamed"), (None, "created"), ("created", None)]


def test_nothing_is_collected_while_invalidation_is_off(
    product: Product, tags: list[Tag], deliveries: Delivered
) -> None:
    deliveries.clear()
    with no_invalidation():
        product.save()
        product.tags.add(tags[0])
        product.delete()
    assert deliveries == []


def test_fields_of_a_rule_may_be_relations(using: str, deliveries: Delivered) -> None:
    class Titles(ModelInvalidation):
        tags = ["title:{pk}", NamedTag("of-tags:{pk}", fields=["tags"])]
        fields = ["name", "category"]

    class Names(ModelInvalidation):
        tags = [
            NamedTag("shown:{pk}", fields=["products"]),
            NamedTag("label:{pk}", fields=["name"]),
        ]

    class Both(ModelInvalidation):
        tags = ["either:{pk}"]
        fields = ["name", "tags"]

    product = Product.objects.using(using).create(name="P")
    tag = Tag.objects.using(using).create(name="T")
    for write in (
        lambda: product.tags.add(tag),
        lambda: product.tags.remove(tag),
        lambda: tag.products.set([product]),
        lambda: execute(using, "DELETE FROM testapp_product_tags"),
    ):
        with registry.override(Product, Titles, Both), registry.override(Tag, Names):
            deliveries.clear()
            write()
        found = {name.partition(":")[0] for name in deliveries.tags}
        assert {"of-tags", "shown", "either"} <= found
        assert {"title", "label"}.isdisjoint(found)
    with registry.override(Product, Titles, Both):
        deliveries.clear()
        product.name = "Q"
        product.save()
    assert {"title", "either"} <= {name.partition(":")[0] for name in deliveries.tags}
    assert not deliveries.family("of-tags")


def test_a_property_among_the_fields_may_be_about_relations(
    using: str, deliveries: Delivered
) -> None:
    class Rule(ModelInvalidation):
        tags = ["labels:{pk}"]
        fields = ["name", "no_field_of_it"]

    product = Product.objects.using(using).create(name="P")
    tag = Tag.objects.using(using).create(name="T")
    with registry.override(Product, Rule):
        deliveries.clear()
        product.tags.add(tag)
    assert deliveries.family("labels") == {f"labels:{product.pk}"}


def test_a_relation_of_a_parent_is_that_of_all_its_children(
    using: str, deliveries: Delivered
) -> None:
    best = BestPal.objects.using(using).create(name="B")
    OldPal(pal_ptr_id=best.pk).save_base(raw=True, using=using)
    tag = Tag.objects.using(using).create(name="T")
    changes: list[Callable[[], Any]] = [
        lambda: best.tags.add(tag),
        lambda: tag.pals.remove(best),
        lambda: best.followers.add(best),
    ]
    with registry.override(OldPal, ByName):
        for change in changes:
            deliveries.clear()
            change()
            assert deliveries.family("testapp.oldpal+m2m")


def test_a_signal_of_a_relation_of_a_models_own_is_about_its_row(deliveries: Delivered) -> None:
    """No field says that there is one, so nobody depends on relations apart from the row."""
    category = Category.objects.create(name="C")
    related: dict[str, Any] = {"model": Category, "pk_set": {category.pk}, "using": "default"}
    calls: list[int] = []

    @cached(name="a relation of its own", tags=[Category])
    def shown() -> int:
        calls.append(1)
        return len(calls)

    with registry.override(Category, ByName):
        assert shown() == shown() == 1
        receivers._m2m_changed(
            sender=Review, instance=category, action="post_add", reverse=False, **related
        )
        assert shown() == 2
    assert deliveries.family("testapp.category") == {f"testapp.category:{category.pk}"}


class OfMembers(ModelInvalidation):
    tags = ["member-of:{pk}"]
    fields = ["joined"]


class OfGuests(ModelInvalidation):
    tags = ["guest-of:{pk}"]
    fields = ["visited"]


def test_two_relations_may_go_through_one_model(using: str, deliveries: Delivered) -> None:
    def key(model: Any) -> Any:
        return models.ForeignKey(model, models.CASCADE, null=True, related_name="+")

    with models_forgotten(), ExitStack() as stack:
        Guest: Any = make_model("Guest", {})  # noqa: N806
        ends = {"member": key(Guest), "guest": key(Guest)}
        Visit: Any = make_model("Visit", ends)  # noqa: N806
        relations: dict[str, Any] = {
            name: models.ManyToManyField(
                Guest, through=Visit, through_fields=("party", end), related_name=reverse
            )
            for name, end, reverse in (
                ("members", "member", "joined"),
                ("guests", "guest", "visited"),
            )
        }
        Party: Any = make_model("Party", relations)  # noqa: N806
        key(Party).contribute_to_class(Visit, "party")
        for model in (Guest, Party, Visit):
            with connections[using].schema_editor() as editor:
                editor.create_model(model)
            stack.callback(_drop, using, model)
        party = Party.objects.using(using).create()
        guest = Guest.objects.using(using).create()
        changes: list[tuple[Callable[[], Any], str]] = [
            (lambda: party.members.add(guest), "member-of"),
            (lambda: party.guests.add(guest), "guest-of"),
            (lambda: guest.visited.remove(party), "guest-of"),
            (lambda: party.guests.add(guest), "guest-of"),
            (lambda: party.members.clear(), "member-of"),
            (lambda: party.guests.clear(), "guest-of"),
        ]
        with registry.override(Guest, OfMembers, OfGuests):
            for change, family in changes:
                deliveries.clear()
                change()
                told = deliveries.family(family)
                assert not told.isdisjoint({f"{family}:{guest.pk}", f"{family}:*"}), family


def _drop(using: str, model: Any) -> None:
    with connections[using].schema_editor() as editor:
        editor.delete_model(model)


def test_relations_that_are_cleared_are_locked(product: Product, tags: list[Tag]) -> None:
    """Or others could move one to another row, of which nobody would be told."""
    if product._state.db == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    product.tags.add(tags[0])
    found: list[bool] = []

    def is_locked() -> bool:
        with transaction.atomic():
            free = Product.tags.through._default_manager.select_for_update(skip_locked=True)
            return not free.exists()

    def ask(execute: Any, sql: str, *rest: Any) -> Any:
        if sql.startswith("DELETE"):
            found.append(elsewhere(is_locked))
        return execute(sql, *rest)

    with connection.execute_wrapper(ask):
        product.tags.clear()
    assert found == [True]
