"""A row of a parent that is in two multi-table children at once."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.db import connections
from django.test import override_settings
from django.test.utils import CaptureQueriesContext

from cache_invalidation import ModelInvalidation, cached, registry
from tests.delivered import Delivered
from tests.testapp.halfway import Building, Depot, Garage, Kiosk

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "sqlite"]),
    # They name one table of two on purpose.
    pytest.mark.filterwarnings("ignore::cache_invalidation.CacheDependencyWarning"),
]


@cached(name="name of a garage", tags=["testapp.garage:{pk}"])
def garage(pk: int, using: str) -> str:
    return Garage.objects.using(using).get(pk=pk).name


@cached(name="names of garages", tags=[Garage])
def garages(using: str) -> list[str]:
    return sorted(row.name for row in Garage.objects.using(using))


@cached(name="name of a kiosk", tags=["testapp.kiosk:{code}"])
def kiosk(code: str, using: str) -> str:
    return Kiosk.objects.using(using).get(code=code).name


class InName(ModelInvalidation):
    tags = ["named:{name}"]


@pytest.fixture(params=[None, Building, Depot, Garage], ids=lambda m: m and m.__name__)
def by_value(request: pytest.FixtureRequest) -> Iterator[None]:
    """Have one of them, or none, with a rule over a column."""
    if request.param is None:
        yield
    else:
        with registry.override(request.param, InName):
            yield


@pytest.fixture
def depot(using: str) -> Depot:
    depot = Depot.objects.using(using).create(name="old")
    Garage(building_ptr_id=depot.pk, name="old").save(using=using)
    Kiosk(building_id=depot.pk, id=depot.pk, code="k", name="old").save(using=using)
    assert Building.objects.using(using).count() == 1
    return depot


def _save(depot: Any) -> None:
    depot.name = "new"
    depot.save()


def _save_one_field(depot: Any) -> None:
    depot.name = "new"
    depot.save(update_fields=["name"])


def _update(depot: Any) -> None:
    Depot.objects.using(depot._state.db).filter(pk=depot.pk).update(name="new")


def _bulk_update(depot: Any) -> None:
    depot.name = "new"
    Depot.objects.using(depot._state.db).bulk_update([depot], ["name"])


def _become_another(depot: Any) -> None:
    """Save a child for a building that is none of that kind yet."""
    using = depot._state.db
    Depot.objects.using(using).get(pk=depot.pk).delete(keep_parents=True)
    Depot(building_ptr_id=depot.pk, name="new").save(using=using)


@pytest.mark.usefixtures("by_value")
@pytest.mark.parametrize(
    "write",
    [_save, _save_one_field, _update, _bulk_update, _become_another],
    ids=lambda w: w.__name__,
)
def test_saving_one_child_tells_of_the_other(
    using: str, depot: Depot, write: Callable[[Any], None]
) -> None:
    assert garage(depot.pk, using) == kiosk("k", using) == "old"
    assert garages(using) == ["old"]
    write(depot)
    assert Garage.objects.using(using).get().name == "new"
    assert garage(depot.pk, using) == kiosk("k", using) == "new"
    assert garages(using) == ["new"]


def test_a_rule_of_the_other_child_over_a_column_is_told_of_every_value(
    using: str, depot: Depot, deliveries: Delivered
) -> None:
    with registry.override(Garage, InName):
        deliveries.clear()
        _save(depot)
    assert deliveries.family("named") == {"named:*"}


def test_what_concerns_one_child_only_leaves_the_other_alone(
    using: str, depot: Depot, deliveries: Delivered
) -> None:
    with registry.override(Depot, type("Rule", (ModelInvalidation,), {"tags": ["bays:{bays}"]})):
        deliveries.clear()
        Depot.objects.using(using).update(bays=3)
        Depot.objects.using(using).create(name="another")
    assert deliveries.family("bays") == {"bays:0", "bays:3"}
    assert "testapp.garage" not in deliveries.tags


def test_without_a_rule_over_a_column_it_costs_no_query(using: str, depot: Depot) -> None:
    def cost() -> int:
        with CaptureQueriesContext(connections[using]) as queries:
            _save(depot)
        return len(queries)

    with override_settings(CACHE_INVALIDATION={"EXCLUDE": ["testapp"]}):
        without = cost()
    assert cost() == without
