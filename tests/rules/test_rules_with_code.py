"""Rules with code, which sees rows: what stands for those of which it sees none, or not all."""

import logging
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import pytest
from django.core.cache import cache
from django.core.checks import Error, Warning
from django.db import connection
from django.db.models import Model
from model_bakery import baker

from cache_invalidation import (
    Change,
    Invalidation,
    ModelInvalidation,
    cached,
    explain,
    invalidate,
    publish,
    registry,
)
from cache_invalidation.checks.rules import check_families
from cache_invalidation.explain import explain_sql
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from cache_invalidation.rules.consequences import consequences
from cache_invalidation.writes import rows
from tests.checks.reporting import reported
from tests.delivered import delivered
from tests.testapp.models import Category, Place, Product, ProductProxy, Restaurant, Review, Tag

pytestmark = [
    pytest.mark.django_db(transaction=True),
    # Whether that is told is a matter of ``tests/reads/test_undeclared_reads.py``.
    pytest.mark.filterwarnings("ignore::cache_invalidation.CacheDependencyWarning"),
]

TABLE = "testapp_product"


class ByCategory(ModelInvalidation):
    """The obvious way to write one."""

    def get_tags(self, change: Change) -> list[str]:
        return [f"cat:{product.category_id}" for product in change.instances]  # type: ignore[attr-defined]


class Declared(ByCategory):
    families = ["cat"]


class Complete(ByCategory):
    """Says that it need not see rows, and looks at them."""

    families: ClassVar[Any] = []


@cached(tags=["cat:{number}"], timeout=60, name="code.names_in")
def names_in(number: int) -> list[str]:
    products = Product.objects.filter(category=number)
    return sorted(products.values_list("name", flat=True))


@cached(tags=["unrelated"], timeout=60, name="code.unrelated")
def unrelated() -> int:
    return next(numbers)


numbers = iter(range(10**9))


def execute(sql: str, *params: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture) -> Iterator[Callable[[], list[str]]]:
    """What the package logged as a warning or worse so far."""
    with caplog.at_level(logging.WARNING, "cache_invalidation"):
        yield lambda: [record.getMessage() for record in caplog.records]


@pytest.fixture
def few(settings: Any) -> None:
    """Have two rows be too many to be looked at."""
    settings.CACHE_INVALIDATION = {"ROW_TAG_LIMIT": 1, "METRICS_FLUSH_INTERVAL": 3600}


def rule(declaration: Any, model: type[Model] = Product) -> Any:
    return registry.override(model, declaration)


def make(**values: Any) -> Any:
    return type("Rule", (ModelInvalidation,), values)


UNKNOWN: dict[str, Callable[[int], object]] = {
    "raw": lambda category: execute(f"UPDATE {TABLE} SET name = 'new'"),
    "update": lambda category: Product.objects.update(name="new"),
    "bulk_create": lambda category: Product.objects.bulk_create(
        [Product(name=name, category_id=category) for name in ("b", "c")]
    ),
    "conflicts": lambda category: Product.objects.bulk_create(
        [Product(name="b", category_id=category)],
        update_conflicts=True,
        update_fields=["name"],
        unique_fields=["id"],
    ),
    "raw insert": lambda category: execute(
        f"INSERT INTO {TABLE} (name, slug, price, stock, category_id, created) "
        "SELECT name, slug, price, stock, category_id, created FROM testapp_product"
    ),
    "raw delete": lambda category: execute(f"DELETE FROM {TABLE}"),
    "truncate": lambda category: execute(f"TRUNCATE {TABLE} CASCADE"),
    "by hand": lambda category: hidden(lambda: invalidate(Product)),
    "of the proxy": lambda category: hidden(lambda: invalidate(ProductProxy)),
}


def hidden(tell: Callable[[], object]) -> None:
    """Write so that only `tell` says so."""
    with connection.cursor() as cursor:
        cursor.cursor.execute(f"UPDATE {TABLE} SET name = 'new'")
    tell()


@pytest.fixture
def shelf(few: None) -> int:
    """A category with two products."""
    category = baker.make(Category)
    baker.make(Product, 2, name="a", category=category)
    return int(category.pk)


@pytest.mark.parametrize("way", UNKNOWN)
@pytest.mark.parametrize("declaration", [ByCategory, Declared])
def test_what_code_named_for_rows_that_are_not_known_is_not_stale(
    declaration: Any, way: str, shelf: int
):
    with rule(declaration):
        assert names_in(shelf) == ["a", "a"]
        UNKNOWN[way](shelf)
        assert names_in(shelf) == names_in.uncached(shelf) != ["a", "a"]


@pytest.mark.parametrize("way", UNKNOWN)
def test_without_families_everything_is_dropped_and_with_them_these_are(way: str, shelf: int):
    with rule(ByCategory), delivered() as found:
        UNKNOWN[way](shelf)
    assert "*" in found.tags
    Product.objects.all().delete()
    baker.make(Product, 2, name="a", category_id=shelf)
    with rule(Declared), delivered() as found:
        UNKNOWN[way](shelf)
    assert "*" not in found.tags
    assert found.family("cat") == {"cat:*"}


def test_exactly_what_the_families_say_is_dropped(shelf: int):
    own = {"testapp.product", "testapp.product:*"}
    for families, dropped in ((["cat"], {"cat:*"}), (["a", "b.c"], {"a:*", "b.c:*"}), ([], {"*"})):
        with rule(make(get_tags=ByCategory.get_tags, families=families)), delivered() as found:
            invalidate(Product)
        assert found.tags == own | dropped


def is_told(self: Any, change: Change) -> list[str]:
    return ["home"] if not change.is_known else []


def is_constant(self: Any, change: Change) -> list[str]:
    return [f"home:{change.using}", f"of:{change.model._meta.label_lower}"]


def looks_at_the_key(self: Any, change: Change) -> list[str]:
    return [f"product:{change.pk}"]


def looks_at_the_old(self: Any, change: Change) -> list[str]:
    return [f"cat:{change.old.category_id}"] if change.old else []  # type: ignore[attr-defined]


def looks_at_the_operation(self: Any, change: Change) -> list[str]:
    return ["number"] if change.operation == "create" else []


def looks_at_the_fields(self: Any, change: Change) -> list[str]:
    return ["prices"] if change.fields and "price" in change.fields else []


LOOKS = [looks_at_the_key, looks_at_the_old]
ASKS = [looks_at_the_operation, looks_at_the_fields, is_told]


@pytest.mark.parametrize("code", [*LOOKS, *ASKS])
def test_whoever_asks_what_nobody_knows_has_not_named_all(code: Any, shelf: int):
    with rule(make(get_tags=code)), delivered() as found:
        invalidate(Product)
    assert "*" in found.tags
    with rule(make(get_tags=code, families=["cat"])), delivered() as found:
        invalidate(Product)
    assert found.tags >= {"cat:*"}
    assert "*" not in found.tags


@pytest.mark.parametrize("families", [None, ["cat"], []])
def test_whoever_asks_nothing_of_the_row_has_named_all(families: Any, shelf: int):
    with rule(make(get_tags=is_constant, families=families)), delivered() as found:
        execute(f"UPDATE {TABLE} SET name = 'new'")
    own = {"testapp.product", "testapp.product:*"}
    assert found.tags == own | {"home:default", "of:testapp.product"}


@pytest.mark.parametrize("code", [*LOOKS, *ASKS])
def test_empty_families_are_believed_of_code_that_does_not_look_at_rows(code: Any, shelf: int):
    with rule(make(get_tags=code, families=[])), delivered() as found:
        invalidate(Product)
    assert ("*" in found.tags) is (code in LOOKS)


def test_what_the_code_names_without_seeing_a_row_is_dropped_as_well(shelf: int):
    class Home(ModelInvalidation):
        families = ["cat"]

        def get_tags(self, change: Change) -> list[str]:
            return ["home"] if not change.is_known else []

    with rule(Home), delivered() as found:
        invalidate(Product)
    assert found.tags == {"testapp.product", "testapp.product:*", "cat:*", "home"}


@pytest.mark.parametrize("declaration", [ByCategory, Declared, Complete], ids=str)
def test_rows_that_are_known_drop_what_is_named_and_nothing_else(declaration: Any):
    one, two = baker.make(Category, 2)
    with rule(declaration), delivered() as found:
        product = baker.make(Product, name="a", category=one)
        product.category = two
        product.save()
        Product.objects.filter(pk=product.pk).update(category=one)
        execute(f"UPDATE {TABLE} SET name = 'b' WHERE id = %s", product.pk)
        Product.objects.bulk_update([product], ["category"])
        product.tags.add(baker.make(Tag))
        invalidate(product)
        product.delete()
    assert found.family("cat") == {f"cat:{one.pk}", f"cat:{two.pk}"}
    assert "*" not in found.tags
    assert found.family("testapp.product") == {f"testapp.product:{product.pk or found_pk(found)}"}


def found_pk(found: Any) -> str:
    (tag,) = found.family("testapp.product")
    return str(tag.partition(":")[2])


CHANGES = {
    "create": {"new"},
    "update": {"old", "new"},
    "delete": {"old"},
}


@pytest.mark.parametrize("operation", CHANGES)
@pytest.mark.parametrize("states", [(), ("old",), ("new",), ("old", "new")], ids=str)
def test_a_change_is_known_if_each_state_is_that_there_was(operation: Any, states: tuple[str, ...]):
    known: Any = {name: Product(pk=1, category_id=3) for name in states}
    change = Change(model=Product, operation=operation, using="default", pk=1, **known)
    assert change.is_known is CHANGES[operation].issubset(states)
    with rule(ByCategory):
        (made,) = consequences(change)
    assert ("*" in made.tags) is not change.is_known
    with rule(make(tags=["cat:{category_id}"], keys=["cat:{category_id}"])):
        (made,) = consequences(change)
    assert ("cat:*" in made.tags) is not change.is_known
    assert ("cat:*" in made.patterns) is not change.is_known


@pytest.mark.parametrize("operation", ["m2m", "manual"])
def test_a_change_of_which_one_state_is_all_is_known_with_it(operation: Any):
    change = Change(model=Product, operation=operation, using="default", pk=1)
    assert not change.is_known
    assert Change(
        model=Product, operation=operation, using="default", pk=1, new=Product(pk=1)
    ).is_known


def test_an_old_state_that_could_not_be_read_counts(monkeypatch: pytest.MonkeyPatch):
    one, two = baker.make(Category, 2)
    with rule(ByCategory):
        product = baker.make(Product, name="a", category=one)
        assert names_in(one.pk) == ["a"]
        monkeypatch.setattr(rows, "read", lambda *args, **kwargs: None)
        product.category = two
        product.save()
        assert names_in(one.pk) == []
        assert names_in(two.pk) == ["a"]


def test_a_row_that_is_gone_stands_for_any():
    product = baker.make(Product, name="a", category=baker.make(Category))
    gone = Product.objects.get(pk=product.pk)
    product.delete()
    with rule(Declared), delivered() as found:
        gone.delete()
    assert found.family("cat") == {"cat:*"}


def test_relations_that_are_deleted_by_the_database_or_cleared_stand_for_any(shelf: int):
    tag = baker.make(Tag)
    tag.products.add(*Product.objects.all())
    with rule(Declared), delivered() as found:
        tag.products.clear()
    assert found.family("cat") == {f"cat:{shelf}"}
    with rule(make(get_tags=looks_at_the_key, families=["review"]), Review):
        with delivered() as found:
            execute("TRUNCATE testapp_product CASCADE")
        assert "review:*" in found.tags


def test_rules_of_proxies_parents_and_children_stand_for_the_same_rows(few: None):
    class Cities(ModelInvalidation):
        families = ["city"]

        def get_tags(self, change: Change) -> list[str]:
            return [f"city:{place.city}" for place in change.instances]  # type: ignore[attr-defined]

    baker.make(Product, 2)
    with rule(Declared, ProductProxy), delivered() as found:
        execute(f"UPDATE {TABLE} SET name = 'new' WHERE id > 0")
    assert "cat:*" in found.tags
    baker.make(Restaurant, 2, city="Rome")
    for model in (Place, Restaurant):
        with rule(Cities, model), delivered() as found:
            Restaurant.objects.update(city="Oslo")
        assert found.family("city") == {"city:*"}
        with rule(Cities, model), delivered() as found:
            execute("UPDATE testapp_place SET city = 'Rome'")
        assert found.family("city") == {"city:*"}


def test_a_row_that_becomes_one_of_a_child_is_known_before_and_after():
    class Cities(ModelInvalidation):
        def get_tags(self, change: Change) -> list[str]:
            return [f"city:{place.city}" for place in change.instances]  # type: ignore[attr-defined]

    place = baker.make(Place, city="Rome")
    with rule(Cities, Place), delivered() as found:
        Restaurant(place_ptr=place, name="x", city="Oslo").save()
    assert found.family("city") == {"city:Rome", "city:Oslo"}
    assert "*" not in found.tags


def test_fields_that_were_not_assigned_keep_the_code_from_being_asked(few: None):
    baker.make(Product, 2, category=baker.make(Category))

    class Slugs(ByCategory):
        fields = ["slug"]

    with rule(Slugs), delivered() as found:
        Product.objects.update(name="new")
    assert "*" not in found.tags
    with rule(Slugs), delivered() as found:
        Product.objects.update(slug="new")
    assert "*" in found.tags


def test_an_instance_with_deferred_fields_is_one_with_all_of_them():
    one, two = baker.make(Category, 2)
    product = baker.make(Product, name="a", category=one)
    deferred = Product.objects.only("name").get(pk=product.pk)
    Product.objects.filter(pk=product.pk).update(category=two)
    deferred.name = "b"
    with rule(ByCategory), delivered() as found:
        deferred.save()
        invalidate(Product.objects.only("name").get(pk=product.pk))
    assert found.family("cat") == {f"cat:{two.pk}"}
    assert "*" not in found.tags


def test_code_that_looks_for_the_row_and_finds_none_is_answered_for_by_its_families(
    logged: Callable[[], list[str]],
):
    class Certain(ModelInvalidation):
        families: ClassVar[Any] = ["cat"]

        def get_tags(self, change: Change) -> list[str]:
            return [f"cat:{change.new.category_id}"]  # type: ignore[union-attr]

    with rule(Certain), delivered() as found:
        invalidate(Product)
    assert found.tags == {"testapp.product", "testapp.product:*", "cat:*"}
    assert logged() == []
    Certain.families = None
    with rule(Certain), delivered() as found:
        invalidate(Product)
    assert "*" in found.tags
    assert "failed" in logged()[0]


# What is said of it


def test_it_is_logged_once_for_each_rule(few: None, logged: Callable[[], list[str]]):
    with rule(ByCategory), rule(type("Other", (ByCategory,), {}), Review):
        for _ in range(3):
            execute(f"UPDATE {TABLE} SET name = 'new'")
            invalidate(Product)
        assert len(logged()) == 1
        assert "ByCategory for testapp.Product" in logged()[0]
        assert "everything is dropped" in logged()[0]
        assert "families" in logged()[0]
        invalidate(Review)
    assert len(logged()) == 2


def test_families_are_nothing_to_log(few: None, logged: Callable[[], list[str]]):
    with rule(Declared), rule(make(get_tags=is_told, families=[]), Review):
        execute(f"UPDATE {TABLE} SET name = 'new'")
        invalidate(Review)
    assert logged() == []


def test_empty_families_of_code_that_looks_at_rows_are_told_of(logged: Callable[[], list[str]]):
    with rule(Complete):
        invalidate(Product)
    (message,) = logged()
    assert "`families` is empty, and it asks for the rows all the same" in message


def named_besides(self: Any, change: Change) -> list[str]:
    tags = ByCategory.get_tags(self, change)
    return [*tags, *(["home", "brand:1"] if change.instances else [])]


@pytest.mark.parametrize(
    ("families", "lacks"),
    [(["cat", "brand"], "home"), (["cat"], "brand:*"), (["home"], "brand:*")],
)
def test_families_that_turn_out_to_lack_one_are_not_trusted(
    families: Any, lacks: str, logged: Callable[[], list[str]]
):
    with rule(make(get_tags=named_besides, families=families)), delivered() as found:
        invalidate(Product)
        assert "*" not in found.tags
        baker.make(Product)
        assert "*" not in found.tags
        invalidate(Product)
        assert "*" in found.tags
        invalidate(Product)
    (message,) = logged()
    assert repr(lacks) in message
    assert "`families` lacks" in message


def test_a_tag_that_the_code_names_with_and_without_rows_needs_no_family():
    def always(self: Any, change: Change) -> list[str]:
        return [*ByCategory.get_tags(self, change), "home"]

    with rule(make(get_tags=always, families=["cat"])), delivered() as found:
        baker.make(Product)
        invalidate(Product)
    assert "*" not in found.tags


def test_explain_says_what_is_dropped_and_why():
    with rule(ByCategory):
        found = explain(Product)
        (effect,) = found.effects
        assert "*" in effect.tags
        assert "everything is dropped" in effect.notes[0]
        assert f"    note    {effect.notes[0]}" in str(found)
        assert found.as_dict()["notes"] == [f"{effect.rule}: {effect.notes[0]}"]
        (effect,) = explain_sql(f"UPDATE {TABLE} SET name = 'new'").effects
        assert "everything is dropped" in effect.notes[0]
        assert explain(baker.make(Product)).effects[0].notes == ()
    with rule(Declared):
        (effect,) = explain(Product).effects
        assert "cat:*" in effect.tags
        assert "its `families` are dropped: cat:*" in effect.notes[0]
    with rule(Complete):
        assert "`families` is empty" in explain(Product).effects[0].notes[0]
    with rule(make(get_keys=details)):
        (effect,) = explain(Product).effects
        assert "*" in effect.tags
        assert "get_keys() cannot see rows" in effect.notes[0]
        assert "plain keys may stay; declare the `families`" in effect.notes[0]
    with rule(make(get_keys=details, families=["detail"])):
        (effect,) = explain(Product).effects
        assert effect.patterns == ("detail:*",)
    with rule(make(get_tags=is_constant, get_keys=is_constant)):
        assert explain(Product).effects[0].notes == ()


def test_explaining_logs_and_counts_nothing(logged: Callable[[], list[str]]):
    reset_metrics()
    with rule(make(get_tags=ByCategory.get_tags, get_keys=details)):
        explain(Product)
    assert logged() == []
    assert read_metrics()["failed_invalidations"] == 0


# Plain keys


def details(self: Any, change: Change) -> list[str]:
    return [f"detail:{product.name}" for product in change.instances]  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", ["get_keys", "get_patterns"])
def test_without_families_plain_keys_of_rows_that_are_not_known_are_told_of(
    few: None, method: str, logged: Callable[[], list[str]]
):
    reset_metrics()
    with rule(make(**{method: details})), delivered() as found:
        baker.make(Product)
        assert logged() == []
        execute(f"UPDATE {TABLE} SET name = 'new'")
        invalidate(Product)
    (message,) = logged()
    assert f"{method}() cannot see rows that are not known" in message
    assert "*" in found.tags, "which is what keys depend on that are tracked"
    assert read_metrics()["failed_invalidations"] == 2


@pytest.mark.parametrize("method", ["get_keys", "get_patterns"])
@pytest.mark.parametrize("way", UNKNOWN)
def test_families_delete_the_plain_keys_of_rows_that_are_not_known(
    shelf: int, method: str, way: str, logged: Callable[[], list[str]]
):
    reset_metrics()
    keys = {"detail:a": 1, "detail:zz": 1, "details": 1}
    with rule(make(**{method: details}, families=["detail"])), delivered() as found:
        cache.set_many(keys)
        UNKNOWN[way](shelf)
        assert "*" not in found.tags
        assert found.family("detail") == set()
    assert cache.get_many(keys) == {"details": 1}
    assert logged() == []
    assert read_metrics()["failed_invalidations"] == 0


def test_families_stand_for_what_each_kind_of_code_names(shelf: int):
    tags = make(get_tags=ByCategory.get_tags, get_keys=details, families=["cat", "detail"])
    with rule(tags), delivered() as found:
        invalidate(Product)
    assert found.family("cat") == {"cat:*"}
    assert found.patterns == {"cat:*", "detail:*"}


def test_families_are_taken_literally_where_they_stand_for_keys(shelf: int):
    cache.set_many({"a?:1": 1, "ab:1": 1})
    literal = make(get_keys=lambda self, change: [f"a?:{r.pk}" for r in change.instances])
    literal.families = ["a?"]
    with rule(literal):
        invalidate(Product)
    assert cache.get_many(["a?:1", "ab:1"]) == {"ab:1": 1}


def test_keys_of_families_are_those_that_a_cache_may_track():
    for method in ("get_keys", "get_patterns"):
        with rule(make(**{method: details}, families=["detail", "a?"])):
            assert {"detail:*", "a\\?:*"} <= registry.plain_names()
    with rule(make(get_tags=details, families=["detail"])):
        assert "detail:*" not in registry.plain_names()


def test_keys_that_families_turn_out_to_lack_are_told_of(logged: Callable[[], list[str]]):
    reset_metrics()
    with rule(make(get_keys=details, families=["cat"])), delivered() as found:
        baker.make(Product, name="a")
        assert "*" not in found.tags
        invalidate(Product)
        assert "*" in found.tags
    assert "'detail:*', which `families` lacks" in logged()[0]
    assert read_metrics()["failed_invalidations"] == 1


def test_code_for_keys_that_raises_leaves_none_of_its_families(logged: Callable[[], list[str]]):
    reset_metrics()
    cache.set("detail:a", 1)
    broken = make(get_keys=lambda self, change: 1 / 0, families=["detail"])
    with rule(broken), delivered() as found:
        baker.make(Product)
    assert "*" in found.tags
    assert cache.get("detail:a") is None
    assert read_metrics()["failed_invalidations"] == 0
    broken.families = None
    with rule(broken):
        baker.make(Product)
    assert read_metrics()["failed_invalidations"] == 1


def test_templates_delete_plain_keys_of_rows_that_are_not_known(few: None):
    baker.make(Product)
    cache.set("detail:a", 1)
    with rule(make(keys=["detail:{name}"])):
        execute(f"UPDATE {TABLE} SET name = 'new'")
    assert cache.get("detail:a") is None


def test_empty_families_say_that_the_code_for_keys_need_not_see_rows(
    few: None, logged: Callable[[], list[str]]
):
    baker.make(Product)
    reset_metrics()
    with rule(make(get_keys=lambda self, change: ["list"], families=[])), delivered() as found:
        execute(f"UPDATE {TABLE} SET name = 'new'")
    assert found.keys == {"list"}
    assert "*" not in found.tags
    assert logged() == []
    assert read_metrics()["failed_invalidations"] == 0


# Checks

# Those of Django ask each database.
ASKED_BY_CHECKS = pytest.mark.django_db(transaction=True, databases="__all__")


def ids(declaration: Any) -> list[tuple[type, str]]:
    with rule(declaration):
        messages = reported()
    assert all(message.hint for message in messages)
    return [(type(message), str(message.id).rpartition(".")[2]) for message in messages]


@ASKED_BY_CHECKS
def test_code_without_families_is_a_warning():
    assert ids(ByCategory) == [(Warning, "W023")]
    assert ids(make(get_keys=details)) == [(Warning, "W024")]
    assert ids(make(get_patterns=details)) == [(Warning, "W024")]
    both = make(get_tags=ByCategory.get_tags, get_keys=details)
    assert ids(both) == [(Warning, "W023"), (Warning, "W024")]


@ASKED_BY_CHECKS
def test_code_with_families_is_none():
    for declaration in (Declared, Complete, make(get_keys=details, families=[])):
        assert ids(declaration) == []
    assert ids(make(tags=["cat:{category_id}"])) == []


@ASKED_BY_CHECKS
@pytest.mark.parametrize(
    ("families", "cure"),
    [
        (["cat:*"], "write 'cat'"),
        (["cat:"], "write 'cat'"),
        (["cat:{category_id}"], "write 'cat'"),
        (["cat*"], "write 'cat'"),
        (["{category_id}"], "such as 'category'"),
        (["*"], "such as 'category'"),
        (["x", ""], "must not be empty"),
        ([3], "must be a string"),
        (["a\nb"], "control characters"),
        (["x" * 249], "longer than"),
        ("cat", "write a list"),
        (3, "write a list"),
    ],
)
def test_families_that_nobody_understands_are_an_error_and_none_at_all(families: Any, cure: str):
    declaration = make(get_tags=ByCategory.get_tags, families=families)
    assert ids(declaration) == [(Error, "E015")]
    with rule(declaration):
        assert cure in check_families()[0].msg
        with delivered() as found:
            baker.make(Product)
            assert "*" not in found.tags
            invalidate(Product)
        assert "*" in found.tags


def test_a_subscriber_that_returns_nothing_says_that_there_is_nothing():
    registry.on_event("restocked", nothing)
    try:
        first = unrelated()
        publish("restocked")
        assert unrelated() == first
    finally:
        registry.off_event(nothing)


def nothing(event: Any) -> Invalidation | None:
    return None
