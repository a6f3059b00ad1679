"""Why the values of functions are not stored, by the words that are used for pages and blocks."""

from threading import Lock
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction

from cache_invalidation import cached, invalidate
from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.reads import unstorable
from cache_invalidation.stores import get_store
from cache_invalidation.surfaces import keeping
from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


@cached(name="unstored.count")
def count() -> int:
    return Product.objects.count()


def reasons(name: str) -> dict[str, int]:
    return read_metrics()["not_stored"].get(name, {})


def test_what_is_stored_has_no_reason():
    count()
    count()
    assert reasons("unstored.count") == {}


def test_an_exception_is_one():
    @cached(tags=["a"], name="unstored.raises")
    def raises() -> int:
        raise LookupError

    for _ in range(2):
        with pytest.raises(LookupError):
            raises()
    assert reasons("unstored.raises") == {"exception": 2}


def test_a_value_that_cannot_be_kept_is_one():
    @cached(tags=["a"], name="unstored.value")
    def value() -> Any:
        return Lock()

    value()
    assert reasons("unstored.value") == {"value": 1}


def test_what_changes_meanwhile_is_one():
    @cached(tags=["unstored:a"], name="unstored.changes")
    def changes() -> int:
        invalidate(tags=["unstored:a"])
        return 1

    changes()
    assert reasons("unstored.changes") == {"dependencies": 1}


def test_what_writes_is_one():
    @cached(name="unstored.writes")
    def writes() -> str:
        return Category.objects.create(name="new").name

    with pytest.warns(match="is not stored"):
        writes()
    assert reasons("unstored.writes") == {"dependencies": 1}


def test_a_transaction_that_has_written_is_one():
    @cached(tags=[Category], name="unstored.written")
    def names() -> int:
        return Category.objects.count()

    with transaction.atomic():
        Category.objects.create(name="new")
        names()
    assert reasons("unstored.written") == {"unavailable": 1}


def test_a_store_that_fails_is_one(monkeypatch: pytest.MonkeyPatch):
    def refuse(*args: Any) -> bool:
        raise StoreUnavailable("no")

    with monkeypatch.context() as patch:
        patch.setattr(type(get_store()), "fill", refuse)
        count()
    assert reasons("unstored.count") == {"unavailable": 1}


def test_coroutines_are_counted_as_well():
    @cached(tags=["a"], name="unstored.coroutine")
    async def value() -> Any:
        return Lock()

    async_to_sync(value)()
    assert reasons("unstored.coroutine") == {"value": 1}


def test_pages_and_blocks_use_the_same_words():
    assert unstorable.REASONS.items() <= keeping.REASONS.items()
