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
    for families, dropped in ((["cat"], {"cat:*"}), (["a", "b.c"], {"a:*", "b.c:*"}), ([], set())):
        with rule(make(get_tags=ByCategory.get_tags, families=families)), delivered() as found:
            invalidate(Product)
        assert found.tags == own | dropped


def test_what_the_code_names_without_seeing_a_row_is_dropped_as_well(shelf: int):
    class Home(ModelInvalidation):
        families = ["cat"]

        def get_tags(self, change: Change) -> list[str]:
            return ["home"] if not change.is_known else []

    with rule(Home), delivered() as found:
        invalidate(Product)
    assert found.tags == {"testapp.product", "testapp.product:*", "cat:*", "home"}


@pytest.mark.parametrize("declaration", [ByCategory, Declared, Complete])
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
    with rule(make(get_tags=lambda self, change: [], families=["review"]), Review):
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
    with rule(Declared), rule(Complete, Review):
        execute(f"UPDATE {TABLE} SET name = 'new'")
        invalidate(Review)
    assert logged() == []


def named_besides(self: Any, change: Change) -> list[str]:
    tags = ByCategory.get_tags(self, change)
    return [*tags, *(["home", "brand:1"] if change.instances else [])]


@pytest.mark.parametrize(
    ("families", "lacks"),
    [(["cat", "brand"], "home"), (["cat"], "brand:*"), ([], "brand:*"), (["home"], "brand:*")],
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
        assert "none" in explain(Product).effects[0].notes[0]
    with rule(make(get_keys=lambda self, change: [])):
        assert "get_keys() cannot see rows" in explain(Product).effects[0].notes[0]


def test_explaining_logs_and_counts_nothing(logged: Callable[[], list[str]]):
    reset_metrics()
    with rule(make(get_tags=ByCategory.get_tags, get_keys=lambda self, change: [])):
        explain(Product)
    assert logged() == []
    assert read_metrics()["failed_invalidations"] == 0


# Plain keys, of which there are no families


def details(self: Any, change: Change) -> list[str]:
    return [f"detail:{product.name}" for product in change.instances]  # type: ignore[attr-defined]


@pytest.mark.parametrize("method", ["get_keys", "get_patterns"])
def test_plain_keys_of_rows_that_are_not_known_stay_and_are_told_of(
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
    assert "*" not in found.tags, "that deletes no plain key"
    assert read_metrics()["failed_invalidations"] == 2


def test_templates_delete_plain_keys_of_rows_that_are_not_known(few: None):
    baker.make(Product)
    cache.set("detail:a", 1)
    with rule(make(keys=["detail:{name}"])):
        execute(f"UPDATE {TABLE} SET name = 'new'")
    assert cache.get("detail:a") is None


def test_families_say_of_plain_keys_that_there_are_no_others(
    few: None, logged: Callable[[], list[str]]
):
    baker.make(Product)
    reset_metrics()
    with rule(make(get_keys=details, families=[])):
        execute(f"UPDATE {TABLE} SET name = 'new'")
    assert logged() == []
    assert read_metrics()["failed_invalidations"] == 0


# Checks


def ids(declaration: Any) -> list[tuple[type, str]]:
    with rule(declaration):
        messages = reported()
    assert all(message.hint for message in messages)
    return [(type(message), str(message.id).rpartition(".")[2]) for message in messages]


def test_code_without_families_is_a_warning():
    assert ids(ByCategory) == [(Warning, "W023")]
    assert ids(make(get_keys=details)) == [(Warning, "W024")]
    assert ids(make(get_patterns=details)) == [(Warning, "W024")]
    both = make(get_tags=ByCategory.get_tags, get_keys=details)
    assert ids(both) == [(Warning, "W023"), (Warning, "W024")]


def test_code_with_families_is_none():
    for declaration in (Declared, Complete, make(get_keys=details, families=[])):
        assert ids(declaration) == []
    assert ids(make(tags=["cat:{category_id}"])) == []


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
