"""The store is down: what a transaction makes stale is kept by that very transaction."""

from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import DataError, IntegrityError, OperationalError, connections, transaction
from django.http import HttpRequest, HttpResponse
from django.test import Client
from django.urls import path

from cache_invalidation import Invalidation, invalidate, publish, registry
from cache_invalidation.models import PendingInvalidation
from cache_invalidation.stores import get_store
from tests.cursors import execute
from tests.delivery.outbox.rows import at_commit, is_due, names, rows, targets
from tests.elsewhere import elsewhere
from tests.testapp.models import Category, Product

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("down")]


def create(request: HttpRequest, name: str) -> HttpResponse:
    Product.objects.create(name=name)
    Product.objects.create(name=name)
    if name == "bad":
        raise ZeroDivisionError
    return HttpResponse(name)


urlpatterns = [path("create/<name>/", create)]


def test_one_row_keeps_everything_that_a_transaction_makes_stale() -> None:
    with transaction.atomic():
        product = Product.objects.create(name="a")
        Product.objects.create(name="b")
        Category.objects.update(name="c")
        Category.objects.create(name="d")
        invalidate(tags=["homepage"], keys=["k2", "k1"], patterns=["p*"], entity_type="page")
        names.invalidate("default")
    (row,) = rows()
    assert row.targets == {
        "tags": sorted(row.targets["tags"]),
        "entries": [names.key("default")],
        "keys": ["k1", "k2"],
        "patterns": ["p*"],
        "places": {
            "entries": {get_store().entry_place(names.key("default")): names.key("default")},
            "keys": {get_store().place(key): key for key in ("k1", "k2")},
            "patterns": {get_store().pattern_place("p*"): "p*"},
        },
    }
    assert {"homepage", "testapp.product", f"testapp.product:{product.pk}", "testapp.category"} <= {
        *row.targets["tags"]
    }
    assert row.entities == {
        "testapp.product": 2,
        "testapp.category": 1,
        "page": 1,
        "outbox.names": 1,
    }
    assert (row.entity_type, row.cause) == ("testapp.product", "create")
    assert (row.attempts, row.last_error) == (0, "")
    assert is_due(row)


def test_a_row_says_what_it_is_about() -> None:
    invalidate(tags=["homepage"], entity_type="page", cause="a deploy")
    assert str(rows()[0]).startswith("page (a deploy) of ")


def test_what_is_longer_than_its_column_is_cut() -> None:
    invalidate(tags=["t"], entity_type="e" * 300, cause="c" * 300)
    (row,) = rows()
    assert (row.entity_type, row.cause) == ("e" * 250, "c" * 250)
    assert row.entities == {"e" * 300: 1}


def test_tags_of_many_rows_collapse_before_they_are_kept(down) -> None:
    down(ROW_TAG_LIMIT=3)
    with transaction.atomic():
        for number in range(5):
            Product.objects.create(name=str(number))
    assert targets() == [{"tags": ["testapp.product", "testapp.product:*"]}]


@pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])
@pytest.mark.parametrize("using", ["default", "sqlite"])
def test_the_row_becomes_visible_with_the_commit(using: str) -> None:
    def look() -> None:
        seen.append((len(rows(using)), elsewhere(lambda: len(rows(using)))))

    seen: list[tuple[int, int]] = []
    with at_commit(using, look), transaction.atomic(using=using):
        Product.objects.using(using).create(name="a")
        look()
    look()
    assert seen[:2] + seen[-1:] == [(0, 0), (1, 0), (1, 1)]


def test_a_commit_that_the_database_refuses_leaves_no_row() -> None:
    with pytest.raises(IntegrityError), transaction.atomic():
        Product.objects.create(name="a", category_id=-1)
    assert rows() == []


def test_a_commit_that_fails_leaves_no_row() -> None:
    def fail() -> None:
        raise OperationalError("no COMMIT")

    with at_commit("default", fail), pytest.raises(OperationalError, match="no COMMIT"):
        Product.objects.create(name="a")
    assert (rows(), Product.objects.count()) == ([], 0)


def test_a_rollback_leaves_no_row() -> None:
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Product.objects.create(name="a")
        raise ZeroDivisionError
    assert rows() == []


def test_a_savepoint_that_was_rolled_back_is_not_in_the_row() -> None:
    with transaction.atomic():
        kept = Product.objects.create(name="kept")
        with pytest.raises(ZeroDivisionError), transaction.atomic():
            Category.objects.create(name="gone")
            invalidate(keys=["gone"])
            raise ZeroDivisionError
        with transaction.atomic():
            invalidate(keys=["kept"])
    assert targets() == [
        {"tags": ["testapp.product", f"testapp.product:{kept.pk}"], "keys": ["kept"]}
    ]


def save(product: Product) -> None:
    product.save()


async def save_async(product: Product) -> None:
    await product.asave()


def update(product: Product) -> None:
    Product.objects.update(name="b")


def execute_update(product: Product) -> None:
    execute("default", "UPDATE testapp_product SET name = 'b'")


def bulk_create(product: Product) -> None:
    Product.objects.bulk_create([Product(name="b")])


def delete(product: Product) -> None:
    Product.objects.filter(pk=product.pk).delete()


def add_to_relation(product: Product) -> None:
    product.tags.create(name="tag")


@pytest.mark.parametrize(
    "write",
    [save, async_to_sync(save_async), update, execute_update, bulk_create, delete, add_to_relation],
    ids=lambda write: getattr(write, "__name__", "asave"),
)
def test_every_write_in_autocommit_leaves_a_row_that_is_due(write: Any) -> None:
    product = Product.objects.create(name="a")
    PendingInvalidation.objects.all().delete()
    write(product)
    kept = {tag for row in rows() for tag in row.targets["tags"]}
    assert {"testapp.product", "testapp.product_tags"} & kept
    assert all(map(is_due, rows()))


def test_a_write_that_finds_no_row_leaves_none() -> None:
    Product.objects.filter(name="nobody").update(name="b")
    execute("default", "UPDATE testapp_product SET name = 'b'")
    assert rows() == []


def test_a_statement_that_is_refused_leaves_none() -> None:
    Product.objects.create(name="a")
    PendingInvalidation.objects.all().delete()
    with pytest.raises(DataError, match="by zero"):
        execute("default", "UPDATE testapp_product SET stock = 1 / 0")
    assert rows() == []


def test_what_is_invalidated_by_hand_leaves_a_row_for_each_call() -> None:
    invalidate(tags=["a"])
    invalidate(keys=["b"])
    invalidate(patterns=["c*"])
    names.invalidate("default")
    assert targets() == [
        {"tags": ["a"]},
        {"keys": ["b"]},
        {"patterns": ["c*"]},
        {"entries": [names.key("default")]},
    ]
    assert all(map(is_due, rows()))


def test_an_event_leaves_a_row_with_what_its_subscribers_answer() -> None:
    def subscriber(event: Any) -> Invalidation:
        return Invalidation(tags=[f"user:{event.user_id}"])

    registry.on_event("user.updated", subscriber)
    try:
        publish("user.updated", user_id=3)
        with transaction.atomic():
            publish("user.updated", user_id=4)
            publish("user.updated", user_id=5)
    finally:
        registry.off_event(subscriber)
    assert targets() == [{"tags": ["user:3"]}, {"tags": ["user:4", "user:5"]}]
    assert {row.cause for row in rows()} == {"event:user.updated"}


def test_each_transaction_that_is_managed_by_hand_leaves_a_row() -> None:
    transaction.set_autocommit(False)
    try:
        a = Product.objects.create(name="a")
        assert elsewhere(rows) == []
        transaction.commit()
        assert len(elsewhere(rows)) == 1
        Product.objects.create(name="never")
        transaction.rollback()
        b = Product.objects.create(name="b")
        transaction.commit()
    finally:
        transaction.rollback()
        transaction.set_autocommit(True)
    assert targets() == [
        {"tags": ["testapp.product", f"testapp.product:{product.pk}"]} for product in (a, b)
    ]


@pytest.mark.django_db(transaction=True, databases=["sqlite"])
def test_switching_autocommit_on_commits_the_row_where_it_commits_the_write() -> None:
    transaction.set_autocommit(False, using="sqlite")
    Product.objects.using("sqlite").create(name="a")
    assert elsewhere(lambda: rows("sqlite")) == []
    transaction.set_autocommit(True, using="sqlite")
    assert len(elsewhere(lambda: rows("sqlite"))) == 1


@pytest.mark.parametrize("name", ["good", "bad"])
def test_a_request_that_is_a_transaction_leaves_one_row_or_none(
    name: str, client: Client, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.ROOT_URLCONF = __name__
    database: Any = connections.settings["default"]
    monkeypatch.setitem(database, "ATOMIC_REQUESTS", True)
    client.raise_request_exception = False
    response = client.get(f"/create/{name}/")
    assert response.status_code == (200 if name == "good" else 500)
    assert len(rows()) == Product.objects.count() / 2 == (1 if name == "good" else 0)
