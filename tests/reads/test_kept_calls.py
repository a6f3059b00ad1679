"""What is kept of a call, to make it again: the key it leads to is the same."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple
from uuid import UUID
from zoneinfo import ZoneInfo

import pytest
from django.core.exceptions import ObjectDoesNotExist
from django.db import models
from django.utils.translation import gettext_lazy
from model_bakery import baker

from cache_invalidation.reads.arguments import Signature
from cache_invalidation.reads.kept_calls import (
    MARK,
    Kept,
    kept,
    read_back,
    unwrap,
    wrap,
    write_down,
)
from cache_invalidation.stores import get_store
from tests.testapp.models import Category, Product, ProductProxy, Voucher

BERLIN = ZoneInfo("Europe/Berlin")


class Pair(NamedTuple):
    one: Any
    other: Any


class Size(models.TextChoices):
    SMALL = "s"


def page(*args: Any, **kwargs: Any) -> None:
    """Take anything."""


SIGNATURE = Signature(page)


def key_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    return SIGNATURE.key(SIGNATURE.bind(args, kwargs))


def through_the_store(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Kept:
    store = get_store()
    found = kept(wrap(b"payload", (args, kwargs), store), store)
    assert found is not None
    return found


PLAIN: list[Any] = [
    *(None, True, 1, -1.5, "größe", b"\x00", Decimal("1.50"), UUID(int=7), date(2026, 1, 2)),
    *(datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=BERLIN), timedelta(1)),
    *((), (1, (2, "3")), frozenset({1, 2}), Size.SMALL, Pair(1, "a"), Product, (Product, 1)),
    gettext_lazy("Products"),
]


@pytest.mark.parametrize("value", PLAIN, ids=repr)
def test_a_call_that_was_kept_has_the_same_key(value):
    call = through_the_store((value,), {"name": value}).call
    assert call is not None
    args, kwargs = read_back(call)
    assert key_of(args, kwargs) == key_of((value,), {"name": value})


@pytest.mark.parametrize("value", [None, True, 1, 1.5, "größe", (1, ("a",)), Product], ids=repr)
def test_json_keeps_what_it_can(settings, value):
    settings.CACHE_INVALIDATION = {"CACHE": "zlib"}
    call = through_the_store((value,), {"name": value}).call
    assert call is not None
    assert key_of(*read_back(call)) == key_of((value,), {"name": value})


def test_what_the_serializer_refuses_is_not_kept(settings):
    settings.CACHE_INVALIDATION = {"CACHE": "zlib"}
    found = through_the_store((b"\xff",), {})
    assert found.call is None
    assert found.stored_at > 0


@pytest.mark.django_db(databases=["default", "other"])
class TestInstances:
    @pytest.fixture(params=[Product, ProductProxy, Voucher])
    def instance(self, request: pytest.FixtureRequest) -> Any:
        model = request.param
        return model.objects.using("other").create(**{"code" if model is Voucher else "name": "a"})

    def test_they_come_back_as_the_row_is_now(self, instance):
        old = type(instance).objects.using("other").get(pk=instance.pk)
        name = "code" if isinstance(instance, Voucher) else "name"
        call = through_the_store((old, (1, old)), {"x": frozenset({old})}).call
        setattr(instance, name, "b")
        instance.save()
        assert call is not None
        (one, (_, two)), kwargs = read_back(call)
        for each in (one, two, *kwargs["x"]):
            assert getattr(each, name) == "b"
            assert type(each) is type(old)
            assert each._state.db == "other"
        assert key_of((one, (1, two)), kwargs) == key_of((old, (1, old)), {"x": frozenset({old})})

    def test_one_whose_row_is_gone_cannot_come_back(self):
        category = baker.make(Category)
        call = write_down((category,), {})
        category.delete()
        with pytest.raises(ObjectDoesNotExist):
            read_back(call)

    def test_one_that_would_be_taken_along_is_not_kept(self):
        category = baker.make(Category)
        assert through_the_store((Pair(category, 1),), {}).call is None
        assert through_the_store((Pair((category,), 1),), {}).call is None


def test_a_model_that_is_gone_cannot_come_back():
    with pytest.raises(LookupError):
        read_back(([["model", "testapp.gone"]], {}))


@pytest.mark.parametrize("payload", [b"", b"payload", MARK, MARK + bytes(12), MARK + bytes(40)])
@pytest.mark.parametrize("call", [None, ((1,), {"a": 2})])
def test_a_payload_comes_back_as_it_was(payload, call):
    store = get_store()
    assert unwrap(wrap(payload, call, store)) == payload


@pytest.mark.parametrize(
    "payload", [None, 7, "text", b"", b"value", MARK, MARK + b"\0" * 11 + b"\x02no"]
)
def test_nothing_is_found_where_nothing_was_kept(payload):
    assert kept(payload, get_store()) is None
