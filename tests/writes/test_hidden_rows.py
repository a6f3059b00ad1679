"""Rows that the managers of a model hide are rows all the same: rules see their values."""

from collections.abc import Callable

import pytest
from django.db import connections, transaction
from django.db.models import QuerySet

from cache_invalidation import ModelInvalidation, cached
from tests.delivered import Delivered
from tests.ruled import in_force
from tests.testapp.models import Restaurant
from tests.testapp.unusual import Letter

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


class LetterRule(ModelInvalidation):
    tags = ["subject:{subject}"]


class RestaurantRule(ModelInvalidation):
    tags = ["cuisine:{cuisine}"]


rule = in_force({Letter: LetterRule, Restaurant: RestaurantRule})


@pytest.fixture(params=["default", "sqlite"])
def letter(request: pytest.FixtureRequest) -> Letter:
    hidden: Letter = Letter.objects.using(request.param).create(subject="old", archived=True)
    return hidden


def execute(letter: Letter, sql: str) -> None:
    with connections[str(letter._state.db)].cursor() as cursor:
        cursor.execute(sql, [letter.pk])


def update(letter: Letter) -> None:
    QuerySet(Letter, using=letter._state.db).filter(pk=letter.pk).update(subject="new")


def raw_update(letter: Letter) -> None:
    execute(letter, "UPDATE testapp_letter SET subject = 'new' WHERE id = %s")


def archive(letter: Letter) -> None:
    QuerySet(Letter, using=letter._state.db).filter(pk=letter.pk).update(archived=False)
    execute(letter, "UPDATE testapp_letter SET subject = 'new', archived = true WHERE id = %s")


@pytest.mark.parametrize("write", [update, raw_update, archive])
def test_an_update_names_the_old_and_the_new_value(
    letter: Letter, write: Callable[[Letter], None], deliveries: Delivered
) -> None:
    deliveries.clear()
    with transaction.atomic(using=letter._state.db):
        write(letter)
    assert deliveries.family("subject") == {"subject:old", "subject:new"}


def test_a_delete_names_the_old_value(letter: Letter, deliveries: Delivered) -> None:
    deliveries.clear()
    execute(letter, "DELETE FROM testapp_letter WHERE id = %s")
    assert deliveries.family("subject") == {"subject:old"}


def test_a_row_that_the_signal_of_its_deletion_tells_of_is_found(
    letter: Letter, deliveries: Delivered
) -> None:
    deliveries.clear()
    letter.delete()
    assert deliveries.family("subject") == {"subject:old"}


@cached(name="cuisines", tags=[Restaurant])
def cuisines(using: str) -> list[tuple[str, str]]:
    return list(Restaurant.objects.using(using).values_list("name", "cuisine"))


@pytest.mark.parametrize("using", ["default", "sqlite"])
def test_a_child_whose_parent_is_gone_is_told_of(using: str) -> None:
    """Until COMMIT, databases allow that; and no query for the child finds it."""
    restaurant = Restaurant.objects.using(using).create(name="a", cuisine="any")
    assert cuisines(using) == cuisines(using) == [("a", "any")]
    with transaction.atomic(using=using), connections[using].cursor() as cursor:
        cursor.execute("DELETE FROM testapp_place WHERE id = %s", [restaurant.pk])
        assert cuisines(using) == []
        cursor.execute("DELETE FROM testapp_restaurant WHERE place_ptr_id = %s", [restaurant.pk])
    assert cuisines(using) == []
