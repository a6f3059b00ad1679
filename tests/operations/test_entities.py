"""How operators name a model, its rows and events, wherever they do."""

from collections.abc import Iterator
from typing import Any
from uuid import UUID

import pytest

from cache_invalidation import Event, ModelInvalidation, registry
from cache_invalidation.operations.entities import (
    find_event,
    find_model,
    find_watched_model,
    parse_key,
)
from tests.testapp.models import Category, Product, Voucher
from tests.testapp.unusual import Composite


class Good(ModelInvalidation):
    entity_type = "good"


@pytest.mark.parametrize("name", ["testapp.Product", "testapp.product", "TESTAPP.PRODUCT"])
def test_a_model_is_named_by_its_label_in_any_case(name: str):
    assert find_model(name) is find_watched_model(name) is Product


def test_a_model_is_named_by_the_entity_type_of_its_rule():
    with registry.override(Product, Good):
        assert find_model("good") is Product


def test_the_label_comes_before_the_entity_type_of_another():
    class Impostor(ModelInvalidation):
        entity_type = "testapp.product"

    with registry.override(Category, Impostor):
        assert find_model("testapp.product") is Product


def test_an_entity_type_of_several_models_is_refused_with_their_names():
    with (
        registry.override(Product, Good),
        registry.override(Category, Good),
        pytest.raises(ValueError, match=r"name one of testapp\.Category, testapp\.Product"),
    ):
        find_model("good")


@pytest.mark.parametrize("name", ["product", "testapp_product", "testapp.Prodct"])
def test_what_comes_close_is_suggested(name: str):
    with pytest.raises(ValueError, match=r"Did you mean testapp\.Product\b"):
        find_model(name)


def test_a_table_between_two_models_can_be_named():
    through: Any = Product.tags.through
    assert find_model(through._meta.label) is through


def test_a_model_that_is_not_watched_can_be_found_and_not_invalidated():
    assert find_model("sessions.session")
    with pytest.raises(ValueError, match="see EXCLUDE"):
        find_watched_model("sessions.session")


@pytest.fixture
def subscribers() -> Iterator[None]:
    def hears(event: Event) -> None:
        return None

    for name in ("user.updated", "cart.*"):
        registry.on_event(name, hears)
    yield
    registry.off_event(hears)


@pytest.mark.usefixtures("subscribers")
@pytest.mark.parametrize("name", ["user.updated", "cart.emptied"])
def test_an_event_is_known_by_its_subscribers(name: str):
    assert find_event(name) == name


@pytest.mark.usefixtures("subscribers")
@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("usr.updated", r"No event 'usr\.updated' has a subscriber\. Did you mean user\.updated\?"),
        ("crt.x", r"Did you mean cart\.\*\?"),
        ("moon", r"No event 'moon' has a subscriber\. 2 others are known\."),
        ("", "must not be empty"),
    ],
)
def test_an_event_without_subscribers_is_refused(name: str, complaint: str):
    with pytest.raises(ValueError, match=complaint):
        find_event(name)


def test_without_subscribers_no_event_is_known():
    with pytest.raises(ValueError, match=r"None is known\."):
        find_event("moon")


@pytest.mark.parametrize(
    ("model", "values", "key"),
    [
        (Product, ["42"], 42),
        (Product, [42], 42),
        (Voucher, [str(UUID(int=7))], UUID(int=7)),
        (Composite, ["1", str(UUID(int=2))], (1, UUID(int=2))),
    ],
)
def test_a_key_has_the_type_of_its_columns(model: Any, values: list[Any], key: Any):
    assert parse_key(model, values) == key


@pytest.mark.parametrize(
    ("model", "values", "complaint"),
    [
        (Product, [], "0 values are given"),
        (Product, [[1]], "must be an integer"),
        (Product, [{}], "must be an integer"),
        (Product, ["9" * 5000], "no primary key of testapp.Product"),
        (Product, [float("inf")], "no primary key of testapp.Product"),
        (Product, [10**30], "less than or equal"),
        (Voucher, [7], "not a valid UUID"),
        (Composite, [1], "1 value is given for the primary key .* which is: tenant, number"),
    ],
)
def test_what_cannot_be_a_key_is_refused(model: Any, values: list[Any], complaint: str):
    with pytest.raises(ValueError, match=complaint):
        parse_key(model, values)
