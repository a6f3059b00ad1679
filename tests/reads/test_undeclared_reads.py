"""A cached function that reads what its tags do not stand for is told of."""

import logging
import warnings

import pytest
from django.contrib.sessions.models import Session
from django.core import mail
from django.db import connection

from cache_invalidation import ModelInvalidation, cached, registry
from cache_invalidation.exceptions import CacheDependencyWarning, UndeclaredRead
from cache_invalidation.reads import recorders, reports
from tests.ruled import ByCategory
from tests.testapp.models import (
    Author,
    Authorship,
    Book,
    Category,
    Place,
    Product,
    ProductProxy,
    Restaurant,
    Tag,
)

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    monkeypatch.setattr(reports, "_said", set())


@pytest.fixture
def production(settings, monkeypatch):
    """Neither DEBUG nor a test."""
    settings.DEBUG = False
    monkeypatch.delattr(mail, "outbox")


def messages(tags, read):
    """Return what is said when a function with `tags` calls `read`."""

    @cached(tags=tags, name="audited")
    def page():
        return read()

    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        page.refresh()
    assert all(each.category is CacheDependencyWarning for each in said)
    return [str(each.message) for each in said]


def products():
    return list(Product.objects.all())


def execute(sql):
    with connection.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def test_the_message_names_the_function_and_the_models():
    (message,) = messages([Tag], lambda: (products(), list(Category.objects.all())))
    assert message.startswith("audited() reads testapp.Product, testapp.Category, ")
    assert "its tags" in message


def test_under_debug_it_is_a_warning_too(production, settings):
    assert messages([Tag], products) == []
    settings.DEBUG = True
    assert len(messages([Tag], products)) == 1


def test_it_is_an_error_where_that_is_asked_for(settings, production):
    settings.CACHE_INVALIDATION = {"UNDECLARED_READS": "error"}

    @cached(tags=[Tag], lock=True)
    def page():
        return products()

    for _ in range(2):
        with pytest.raises(UndeclaredRead, match=r"testapp\.Product"):
            page()

    @cached(tags=[Product])
    def right():
        return products()

    assert right() == []


def test_it_is_ignored_where_that_is_asked_for(settings, caplog):
    settings.CACHE_INVALIDATION = {"UNDECLARED_READS": "ignore"}
    assert messages([Tag], products) == []
    assert caplog.records == []


def test_in_production_nothing_is_compared(production, monkeypatch, caplog):
    monkeypatch.setattr(recorders, "tags_read", lambda *args: pytest.fail("it was"))
    assert messages([Tag], products) == []
    assert caplog.records == []


def one(queryset):
    return lambda: list(queryset)


class WithCode(ModelInvalidation):
    def get_tags(self, change):
        return ["anything"]


class WithFamilies(WithCode):
    families = ["shelf"]


class Tracking(ModelInvalidation):
    track = ["category"]


PRODUCT_3 = Product.objects.filter(pk=3)


DECLARED = [
    ([Product], Product.objects.all(), None, True),
    ([ProductProxy], Product.objects.all(), None, True),
    ([Product], ProductProxy.objects.all(), None, True),
    ([Tag], Product.objects.all(), None, False),
    (["home"], Product.objects.all(), None, False),
    ([], Product.objects.all(), None, False),
    # One row
    (["testapp.product:3"], PRODUCT_3, None, True),
    ([Product], PRODUCT_3, None, True),
    (["testapp.product:4"], PRODUCT_3, None, False),
    (["testapp.product:3"], Product.objects.filter(pk__in=[3, 4]), None, False),
    (
        ["testapp.product:3", "testapp.product:4"],
        Product.objects.filter(pk__in=[3, 4]),
        None,
        True,
    ),
    (["testapp.product:3"], Product.objects.all(), None, False),
    # What a rule drops
    (["category:3"], Product.objects.all(), ByCategory, True),
    (["category:3"], Product.objects.all(), None, False),
    (["categories:3"], Product.objects.all(), ByCategory, False),
    (["anything"], Product.objects.all(), WithCode, False),
    (["shelf:3"], Product.objects.all(), WithCode, False),
    (["shelf:3"], Product.objects.all(), WithFamilies, True),
    (["shelf:3", "other:3"], Product.objects.all(), WithFamilies, True),
    (["other:3", "shelf"], Product.objects.all(), WithFamilies, False),
    ([Product], Product.objects.all(), WithCode, True),
    (["testapp.product.category_id:3"], Product.objects.filter(category=3), Tracking, True),
    (["testapp.product.category_id:4"], Product.objects.filter(category=3), Tracking, False),
    # Parents and children are written together
    ([Place], Place.objects.all(), None, True),
    ([Restaurant], Restaurant.objects.all(), None, True),
    ([Place], Restaurant.objects.all(), None, True),
    ([Tag], Restaurant.objects.all(), None, False),
    # Relations
    ([Product, Tag], Tag.objects.filter(products=3), None, True),
    # What goes along with the row at one end is not told by that at the other.
    ([Tag], Tag.objects.filter(products=3), None, False),
    ([Tag, "testapp.product:3"], Tag.objects.filter(products=3), None, True),
    (["testapp.product:3"], Product.tags.through.objects.filter(product=3), None, False),
    ([Tag], Product.objects.filter(tags=3), None, False),
    ([Author], Author.objects.filter(books=3), None, False),
    ([Author, Authorship], Author.objects.filter(books=3), None, True),
    ([Book], Book.objects.filter(title="x"), None, True),
    ([Product], Product.objects.select_related("category"), None, False),
    ([Product, Category], Product.objects.select_related("category"), None, True),
]


def test_what_counts_as_declared():
    for tags, rows, rule, is_covered in DECLARED:
        with registry.override(Product, rule):
            found = messages(tags, one(rows.all()))
            assert (found == []) is is_covered, f"{tags}: {rows.query}"


def test_what_a_cached_function_inside_reads_is_its_own_business():
    @cached(tags=[Product])
    def inner():
        return products()

    @cached(name="inner recorded")
    def recorded():
        return list(Category.objects.all())

    assert messages([Tag], lambda: (inner(), recorded())) == []
    (message,) = messages([Tag], lambda: (inner(), list(Category.objects.all())))
    assert "testapp.Category" in message
    assert "Product" not in message


def test_a_function_without_tags_is_never_wrong():
    assert messages(None, lambda: (products(), list(Category.objects.all()))) == []


def test_what_is_lazy_in_the_value_counts():
    (message,) = messages([Tag], lambda: {"rows": Product.objects.all()})
    assert "testapp.Product" in message


@pytest.mark.parametrize("tags", [None, [Session]])
def test_reading_what_nobody_watches_is_told(tags):
    (message,) = messages(tags, one(Session.objects.all()))
    assert "sessions.Session" in message
    assert "nobody watches" in message


def test_what_is_excluded_by_the_project_is_told(settings):
    settings.CACHE_INVALIDATION = {"EXCLUDE": ["testapp.Product"]}
    (message,) = messages(None, lambda: (products(), list(Category.objects.all())))
    assert "testapp.Product" in message
    assert "Category" not in message


@pytest.fixture
def nobodys():
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE nobodys (number int)")
    yield
    with connection.cursor() as cursor:
        cursor.execute("DROP TABLE nobodys")


@pytest.mark.usefixtures("nobodys")
@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM nobodys",
        "SELECT * FROM testapp_product, nobodys",
        "SELECT * FROM testapp_product JOIN nobodys ON number = id",
        "SELECT id FROM testapp_product WHERE id IN (SELECT number FROM nobodys)",
        "WITH x AS (SELECT number FROM nobodys) SELECT name FROM testapp_product, x",
    ],
)
def test_reading_what_no_model_stands_for_is_told_and_not_stored(sql):
    (message,) = messages(None, lambda: execute(sql))
    assert "no model stands for" in message
    assert sql in message

    @cached(name="of nobody")
    def count():
        return execute("SELECT count(*) FROM nobodys")[0][0]

    with pytest.warns(CacheDependencyWarning):
        assert count() == 0
    with connection.cursor() as cursor:
        cursor.execute("INSERT INTO nobodys VALUES (1)")
    with pytest.warns(CacheDependencyWarning):
        assert count() == 1


@pytest.mark.usefixtures("nobodys")
def test_common_tables_are_no_tables_of_their_own():
    sql = "WITH nobody AS (SELECT id FROM testapp_product) SELECT id FROM nobody"
    assert messages(None, lambda: execute(sql)) == []
    sql = (
        "WITH RECURSIVE n AS (SELECT id FROM testapp_product UNION ALL"
        " SELECT id + 1 FROM n WHERE id < 0) SELECT id FROM n"
    )
    assert messages(None, lambda: execute(sql)) == []


@pytest.mark.usefixtures("nobodys", "production")
@pytest.mark.parametrize(
    "read", [one(Session.objects.all()), lambda: execute("SELECT * FROM nobodys")]
)
def test_in_production_that_is_logged_and_once(caplog, read):
    for _ in range(3):
        assert messages(None, read) == []
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("audited() ")


@pytest.mark.usefixtures("production")
def test_what_was_said_is_not_remembered_without_end(monkeypatch, caplog):
    monkeypatch.setattr(reports, "SAID", 3)
    for number in range(6):

        @cached(name=f"function {number}")
        def page():
            return list(Session.objects.all())

        page()
    assert len(caplog.records) == 3
    assert len(reports._said) == 3


def test_rows_that_are_read_for_a_rule_are_not_what_the_function_reads():
    product = Product.objects.create(name="old")

    class ByName(ModelInvalidation):
        tags = ["name:{name}"]

    @cached(tags=["nothing to do with it"], name="undeclared.writes")
    def write():
        with connection.cursor() as cursor:
            cursor.execute("UPDATE testapp_product SET name = 'new' WHERE id = %s", [product.pk])

    with registry.override(Product, ByName), warnings.catch_warnings():
        warnings.simplefilter("error")
        write()
    product.refresh_from_db()
    assert product.name == "new"
