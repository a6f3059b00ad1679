"""``QUERIES``: which queries are cached by themselves, and for how long."""

from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.contrib.sessions.models import Session
from django.core.exceptions import ImproperlyConfigured
from django.db.models import QuerySet
from django.test import override_settings

from cache_invalidation import cached
from cache_invalidation.conf import settings
from cache_invalidation.surfaces.querysets.wanted import wanted
from tests.querysets.asking import both, is_cached, names, reasons, statements
from tests.testapp.models import Category, Product, ProductProxy, Tag
from tests.testapp.novels import Genre, Novel, Sequel

pytestmark = both


def queries(**patterns: Any) -> override_settings:
    """Set QUERIES; two underscores stand for the dot."""
    found = {name.replace("__", "."): value for name, value in patterns.items()}
    return override_settings(CACHE_INVALIDATION={"QUERIES": found, "DEFAULT_TIMEOUT": 5})


def lifetime(rows: Any) -> Any:
    """Return for how long the rows are kept; False if they are not."""
    found = wanted(rows.query.get_compiler(rows.db))
    return found.timeout if found else False


def test_the_narrowest_pattern_counts() -> None:
    patterns: dict[str, Any] = {"*": 1, "testapp.*": 2, "Testapp.Product": None, "auth.*": False}
    with override_settings(CACHE_INVALIDATION={"QUERIES": patterns}):
        assert lifetime(Product.objects.all()) is None
        assert lifetime(ProductProxy.objects.all()) is None
        assert lifetime(Tag.objects.all()) == 2
        assert lifetime(Permission.objects.all()) is False
        assert lifetime(Product.tags.through._default_manager.all()) == 2
    with override_settings(CACHE_INVALIDATION={"QUERIES": {"testapp.Product": 7}}):
        assert lifetime(Product.objects.all()) == 7
        assert lifetime(Product.tags.through._default_manager.all()) == 7
        assert lifetime(Tag.objects.all()) is False
    assert lifetime(Product.objects.all()) is False


def test_all_models_are_those_that_are_watched(using: str) -> None:
    sessions = Session.objects.using(using)
    with override_settings(CACHE_INVALIDATION={"QUERIES": {"*": 60}}):
        assert not is_cached(using, lambda: list(sessions.all()))
        assert reasons("sessions.session.queries") == {}
    with override_settings(CACHE_INVALIDATION={"QUERIES": {"sessions.*": 60}}):
        assert not is_cached(using, lambda: list(sessions.all()))
        assert reasons("sessions.session.queries") == {"unwatched": 2}


def test_what_a_queryset_says_counts_more(using: str) -> None:
    with queries(testapp__Novel=60):
        assert lifetime(Novel.objects.all()) == 60
        assert lifetime(Novel.objects.cached(timeout=9)) == 9
        assert lifetime(Novel.objects.uncached()) is False


def test_it_is_looked_up_each_time() -> None:
    rows = Product.objects.all()
    for seconds in (3, 4):
        with queries(testapp__Product=seconds):
            assert lifetime(rows) == seconds
    with queries(testapp__Product="soon"):
        assert lifetime(rows) is False  # A system check says so.


def test_all_tables_have_to_be_named(using: str) -> None:
    category = Category.objects.using(using).create(name="A")
    product = Product.objects.using(using).create(name="P", category=category)
    product.tags.add(Tag.objects.using(using).create(name="T"))
    products: QuerySet[Product] = Product.objects.using(using)

    def joined() -> Any:
        return list(products.select_related("category"))

    def tagged() -> Any:
        return list(products.filter(tags__name="T"))

    def inner() -> Any:
        return list(products.filter(category__in=Category.objects.filter(name="A").using(using)))

    with queries(testapp__Product=60):
        assert is_cached(using, lambda: list(products.all()))
        assert not any(is_cached(using, ask) for ask in (joined, tagged, inner))
    with queries(testapp__Product=60, testapp__Category=None):
        assert is_cached(using, joined)
        assert is_cached(using, inner)
        assert not is_cached(using, tagged)
    with queries(testapp__Product=60, testapp__Tag=30):
        assert is_cached(using, tagged)
    with queries(testapp__Sequel=60):
        assert not is_cached(using, lambda: list(Sequel.objects.using(using)))


def test_a_plain_query_is_cached_and_dropped(using: str) -> None:
    products: QuerySet[Product] = QuerySet(Product, using=using)
    with queries(testapp__Product=60):
        Product.objects.using(using).create(name="old")
        assert names(products.all()) == ["old"]
        with statements(using, 0):
            assert names(products.all()) == ["old"]
        Product.objects.using(using).update(name="new")
        assert names(products.all()) == ["new"]


def test_a_function_that_says_on_what_it_depends_depends_on_nothing_else(using: str) -> None:
    calls = []

    @cached(tags=["mine"], name="declared around a query")
    def declared() -> list[str]:
        calls.append(1)
        return names(Tag.objects.using(using))

    @cached(name="recorded around a query")
    def recorded() -> list[str]:
        return names(Tag.objects.using(using))

    silent = {"QUERIES": {"testapp.Tag": 60}, "UNDECLARED_READS": "ignore"}
    with override_settings(CACHE_INVALIDATION=silent):
        names(Tag.objects.using(using))
        assert declared() == recorded() == []
        Tag.objects.using(using).create(name="T")
        assert declared() == []
        assert recorded() == ["T"]
    assert len(calls) == 1


def test_a_cached_query_inside_hands_up_what_it_depends_on(using: str) -> None:
    @cached(tags=["mine"], name="declared around a cached query")
    def declared() -> list[str]:
        return names(Genre.objects.using(using).cached())

    @cached(name="recorded around a cached query")
    def recorded() -> list[str]:
        return names(Genre.objects.using(using).cached())

    for name in ("A", "B"):
        names(Genre.objects.using(using).cached())
        assert declared() == recorded()
        with statements(using, 0):
            assert declared() == recorded()
        Genre.objects.using(using).create(name=name)
    assert declared() == recorded() == ["A", "B"]


@pytest.mark.parametrize(
    ("value", "says"),
    [
        (["shop.*"], "it must be a dict"),
        ({"shop": 60}, "'shop' is none of"),
        ({"shop.": 60}, "'shop.' is none of"),
        ({3: 60}, "3 is none of"),
        ({"*.Product": 60}, r"is none of 'app.Model', 'app.\*' and '\*'"),
        ({"shop.*": 0}, "for 'shop.*' there is 0, and it must be a number of seconds above zero"),
        ({"shop.*": True}, "it must be a number, None for ever, or False for never"),
        ({"shop.*": "60"}, "there is '60'"),
    ],
)
def test_what_cannot_be_used(value: Any, says: str) -> None:
    with (
        override_settings(CACHE_INVALIDATION={"QUERIES": value}),
        pytest.raises(ImproperlyConfigured, match=says),
    ):
        settings.QUERIES  # noqa: B018
