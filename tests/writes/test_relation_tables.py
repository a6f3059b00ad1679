"""Relations for which Django makes the table: its statements tell which rows at the ends change.

No signal is needed, so nothing is queried or locked for them. A rule that looks at values of either
end is worth it; see `tests.writes.test_relations`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models.signals import m2m_changed, post_delete, pre_delete
from django.test.utils import CaptureQueriesContext, override_settings

from cache_invalidation import ModelInvalidation, cached, no_invalidation, registry
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from cache_invalidation.testing import override_rules
from cache_invalidation.writes.receivers import _m2m_changed
from tests.cursors import execute
from tests.delivered import Delivered, delivered
from tests.elsewhere import elsewhere
from tests.ruled import ByName
from tests.testapp.models import Product, Restaurant, Tag, Voucher
from tests.testapp.related import BestPal, Pal, PalProxy, PalTag

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])

World = SimpleNamespace


@pytest.fixture
def world(using: str) -> World:
    pals = Pal.objects.using(using)
    # So that no two rows of two models have the same key.
    pals.bulk_create([Pal(pk=pk, name="") for pk in range(1, 10)])
    return World(
        using=using,
        a=pals.create(pk=11, name="a"),
        b=pals.create(pk=12, name="b"),
        c=pals.create(pk=13, name="c"),
        best=BestPal.objects.using(using).create(pk=14, name="d"),
        restaurant=Restaurant.objects.using(using).create(pk=21, name="r"),
        voucher=Voucher.objects.using(using).create(code="v"),
        tag=Tag.objects.using(using).create(pk=31, name="t"),
    )


def ends(found: Delivered) -> set[str]:
    """Return the rows at the ends that were named, each by the last part of its tag."""
    names = ("pal", "restaurant", "voucher", "tag", "product")
    heads = [f"testapp.{name}{which}" for name in names for which in ("", "+m2m")]
    tags = set().union(*map(found.family, heads))
    return {tag.removeprefix("testapp.").replace("+m2m", "") for tag in tags}


def pals(*keys: Any) -> set[str]:
    return {f"pal:{key}" for key in keys}


Act = Callable[[World], Any]

CHANGES: list[tuple[str, Act, set[str]]] = [
    ("add", lambda w: w.a.follows.add(w.b, w.c), pals(11, 12, 13)),
    ("add by key", lambda w: w.a.follows.add(12), pals(11, 12)),
    ("add from the other end", lambda w: w.a.followers.add(w.b), pals(11, 12)),
    ("add both ways", lambda w: w.a.friends.add(w.b, w.c), pals(11, 12, 13)),
    ("add oneself", lambda w: w.a.friends.add(w.a), pals(11)),
    ("set", lambda w: w.a.follows.set([w.b]), pals(11, 12)),
    ("create", lambda w: w.a.follows.create(pk=77), pals(11, 77)),
    ("add a child", lambda w: w.a.restaurants.add(w.restaurant), {*pals(11), "restaurant:21"}),
    ("add to a child", lambda w: w.restaurant.pals.add(w.a), {*pals(11), "restaurant:21"}),
    ("add as a child", lambda w: w.best.restaurants.add(21), {*pals(14), "restaurant:21"}),
    (
        "add as a proxy",
        lambda w: PalProxy.objects.using(w.using).get(pk=11).restaurants.add(21),
        {*pals(11), "restaurant:21"},
    ),
    ("add to a model that passes for Django's", lambda w: w.a.tags.add(31), {*pals(11), "tag:31"}),
    (
        "a row of a model that passes for Django's",
        lambda w: PalTag.objects.using(w.using).create(pal=w.b, tag=w.tag),
        {*pals(12), "tag:31"},
    ),
    (
        "SQL",
        lambda w: execute(
            w.using, "INSERT INTO testapp_pal_restaurants (pal_id, restaurant_id) VALUES (12, 21)"
        ),
        {*pals(12), "restaurant:21"},
    ),
    (
        "SQL from a query",
        lambda w: execute(
            w.using,
            "INSERT INTO testapp_pal_restaurants (pal_id, restaurant_id)"
            " SELECT id, 21 FROM testapp_pal WHERE id = 11",
        ),
        {*pals("*"), "restaurant:*"},
    ),
]


@pytest.mark.parametrize(
    ("act", "expected"), [case[1:] for case in CHANGES], ids=[case[0] for case in CHANGES]
)
@pytest.mark.parametrize("atomic", [False, True])
def test_what_is_added_names_the_rows_at_both_ends(
    world: World, act: Act, expected: set[str], atomic: bool
) -> None:
    with delivered() as found:
        if atomic:
            with transaction.atomic(using=world.using):
                act(world)
        else:
            act(world)
    assert ends(found) == expected


def relate(world: World) -> None:
    world.a.follows.add(world.b, world.c)
    world.a.friends.add(world.b, world.c)
    world.a.restaurants.add(world.restaurant)
    world.a.tags.add(world.tag)
    world.a.vouchers.add(world.voucher)


REMOVALS: list[tuple[str, Act, set[str]]] = [
    ("remove", lambda w: w.a.follows.remove(w.b), pals(11, 12)),
    ("remove from the other end", lambda w: w.b.followers.remove(w.a), pals(11, 12)),
    ("remove both ways", lambda w: w.a.friends.remove(w.b, w.c), pals(11, 12, 13)),
    ("set", lambda w: w.a.follows.set([w.c]), pals(11, 12)),
    ("set of nothing else", lambda w: w.a.follows.set([w.b, w.c]), set()),
    ("remove what is not there", lambda w: w.a.follows.remove(w.best), set()),
    ("add what is there", lambda w: w.a.follows.add(w.b), set()),
    ("clear", lambda w: w.a.follows.clear(), pals("*")),
    ("clear both ways", lambda w: w.a.friends.clear(), pals("*")),
    ("clear one end", lambda w: w.a.restaurants.clear(), {*pals(11), "restaurant:*"}),
    ("clear the other end", lambda w: w.restaurant.pals.clear(), {*pals("*"), "restaurant:21"}),
    ("clear what is clear", lambda w: w.b.restaurants.clear(), set()),
    (
        "SQL that moves one",
        lambda w: execute(
            w.using, "UPDATE testapp_pal_restaurants SET pal_id = 12 WHERE restaurant_id = 21"
        ),
        {*pals("*"), "restaurant:21"},
    ),
    (
        "SQL that deletes all",
        lambda w: execute(w.using, "DELETE FROM testapp_pal_restaurants"),
        {*pals("*"), "restaurant:*"},
    ),
    (
        "the rows of a queryset",
        lambda w: Pal.restaurants.through.objects.using(w.using).filter(pal=11).delete(),
        {*pals(11), "restaurant:*"},
    ),
]


@pytest.mark.parametrize(
    ("act", "expected"), [case[1:] for case in REMOVALS], ids=[case[0] for case in REMOVALS]
)
@pytest.mark.parametrize("atomic", [False, True])
def test_what_is_removed_names_the_rows_that_the_statement_names(
    world: World, act: Act, expected: set[str], atomic: bool
) -> None:
    relate(world)
    with delivered() as found:
        if atomic:
            with transaction.atomic(using=world.using):
                act(world)
        else:
            act(world)
    assert ends(found) == expected


@contextmanager
def listening(to: Any) -> Iterator[None]:
    """Have somebody listen to deletions of whatever model, so that Django loads the rows."""

    def listen(**kwargs: Any) -> None: ...

    to.connect(listen)
    try:
        yield
    finally:
        to.disconnect(listen)


def test_a_deleted_row_leaves_those_alone_that_it_was_related_to(world: World) -> None:
    relate(world)
    with delivered() as found:
        world.a.delete()
    assert ends(found) == pals(11)
    assert "testapp.pal_restaurants" in found.tags


@pytest.mark.parametrize("signal", [pre_delete, post_delete])
def test_under_a_rule_that_looks_at_values_loaded_relations_are_known(
    world: World, signal: Any
) -> None:
    relate(world)
    rules = override_rules({Pal: ByName, Restaurant: ByName})
    with rules, listening(signal), delivered() as found:
        world.a.delete()
    assert ends(found) == pals(11)
    assert found.family("name") == {"name:a"}


@pytest.mark.parametrize("signal", [pre_delete, post_delete])
def test_where_django_loads_relations_to_delete_them_these_may_be_any(
    world: World, signal: Any
) -> None:
    """Others may update a relation before the statement, which names its key only."""
    relate(world)
    with listening(signal), delivered() as found:
        world.a.follows.clear()
    assert ends(found) == pals("*")
    with listening(signal), delivered() as found:
        world.a.friends.clear()
    assert ends(found) == pals("*")
    with listening(signal), delivered() as found:
        world.a.delete()
    assert ends(found) == {*pals(11, "*"), "restaurant:*", "voucher:*", "tag:*"}


@cached(name="restaurants of a pal", tags=["testapp.pal:{pk}"])
def restaurants_of(pk: int, using: str) -> list[int]:
    found = Pal.restaurants.through.objects.using(using).filter(pal_id=pk)
    return sorted(found.values_list("restaurant_id", flat=True))


@pytest.mark.filterwarnings("ignore::cache_invalidation.CacheDependencyWarning")
@pytest.mark.parametrize("rules", [{}, {Pal: ByName}, {Restaurant: ByName}])
def test_a_relation_that_others_move_to_another_row_is_told_as_that_of_the_other(
    world: World, rules: Any
) -> None:
    """Django has loaded it by then, and deletes it by its key, wherever it is."""
    if connections[world.using].vendor == "sqlite":
        pytest.skip("nobody else can write in the middle of a transaction that writes")
    world.a.restaurants.add(world.restaurant)
    relation = Pal.restaurants.through.objects.using(world.using).get()
    moved: list[list[int]] = []

    def move(sender: Any, **kwargs: Any) -> None:
        if sender is Pal and not moved:
            relation.pal_id = world.b.pk
            relation.save(using=world.using)
            moved.append(restaurants_of(world.b.pk, world.using))

    def listen(**kwargs: Any) -> None:
        elsewhere(partial(move, **kwargs))

    with override_rules(rules):
        pre_delete.connect(listen)
        try:
            world.a.delete()
        finally:
            pre_delete.disconnect(listen)
    assert moved == [[world.restaurant.pk]]
    right = restaurants_of.uncached(world.b.pk, world.using)
    assert restaurants_of(world.b.pk, world.using) == right == []


def test_what_a_receiver_clears_while_a_row_is_deleted_is_told(world: World) -> None:
    relate(world)
    world.b.restaurants.add(world.restaurant)

    def clear(instance: Any, **kwargs: Any) -> None:
        if instance.pk == 11:
            world.b.restaurants.clear()

    pre_delete.connect(clear, sender=Pal)
    try:
        with delivered() as found:
            world.a.delete()
    finally:
        pre_delete.disconnect(clear, sender=Pal)
    assert {"pal:12", "restaurant:*"} <= ends(found)


def test_each_row_at_an_end_is_counted_once(world: World) -> None:
    def counted(action: Callable[[], Any]) -> Any:
        reset_metrics()
        action()
        return read_metrics()

    found = counted(lambda: world.a.friends.add(world.b, world.c))
    assert found["invalidations_by_entity_type"]["testapp.pal"] == 3
    found = counted(lambda: world.a.vouchers.add(world.voucher))
    by_type = found["invalidations_by_entity_type"]
    assert (by_type["testapp.pal"], by_type["testapp.voucher"]) == (1, 1)
    found = counted(lambda: world.a.friends.remove(world.b))
    assert found["invalidations_by_entity_type"]["testapp.pal"] == 2
    found = counted(lambda: world.a.friends.add(world.c))  # It is there.
    assert found["invalidations_by_entity_type"] == {}


@pytest.mark.parametrize("excluded", ["Pal", "Restaurant", "Pal_restaurants"])
def test_what_is_excluded_is_not_told_and_the_rest_is(world: World, excluded: str) -> None:
    settings = {"EXCLUDE": [f"testapp.{excluded}"]}
    with override_settings(CACHE_INVALIDATION=settings), delivered() as found:
        world.a.restaurants.add(world.restaurant)
    rest = {"pal": "pal:11", "restaurant": "restaurant:21"}
    rest.pop(excluded.lower(), None)
    assert ends(found) == set(rest.values())
    assert ("testapp.pal_restaurants" in found.tags) is (excluded != "Pal_restaurants")


def test_while_invalidation_is_off_nothing_is_told(world: World) -> None:
    with no_invalidation(), delivered() as found:
        world.a.restaurants.add(world.restaurant)
        world.a.restaurants.clear()
    assert found == []


def test_nobody_listens_to_a_relation_unless_a_rule_looks_at_values() -> None:
    through = Pal.restaurants.through
    with registry.override(Pal, ModelInvalidation), registry.override(Restaurant, None):
        assert not m2m_changed.has_listeners(through)
    for model in (Pal, Restaurant):
        with registry.override(model, ByName):
            assert m2m_changed.has_listeners(through)
    assert not m2m_changed.has_listeners(through)


def test_sql_names_the_values_that_a_rule_looks_at(world: World) -> None:
    insert = "INSERT INTO testapp_pal_restaurants (pal_id, restaurant_id) VALUES (11, 21)"
    with registry.override(Pal, ByName), delivered() as found:
        execute(world.using, insert)
        assert found.family("name") == {"name:a"}
        assert ends(found) == {"pal:11", "restaurant:21"}
        found.clear()
        execute(world.using, "DELETE FROM testapp_pal_restaurants WHERE restaurant_id = 21")
        assert found.family("name") == {"name:*"}


def test_under_a_rule_that_looks_at_values_what_is_added_both_ways_is_counted_once(
    world: World,
) -> None:
    with registry.override(Pal, ByName), delivered() as found:
        reset_metrics()
        world.a.friends.add(world.b)
        assert found.family("name") == {"name:a", "name:b"}
        assert read_metrics()["invalidations_by_entity_type"]["testapp.pal"] == 2
        found.clear()
        world.a.friends.remove(world.b)
        assert found.family("name") == {"name:a", "name:b"}


def test_a_signal_tells_only_of_the_statements_between_two_sendings(world: World) -> None:
    insert = "INSERT INTO testapp_pal_restaurants (pal_id, restaurant_id) VALUES (12, 21)"
    with registry.override(Pal, ByName), delivered() as found:
        with transaction.atomic(using=world.using):
            world.a.restaurants.add(world.restaurant)
            execute(world.using, insert)
        assert found.family("name") == {"name:a", "name:b"}


def test_of_what_failed_halfway_in_a_transaction_that_goes_on_all_rows_are_told(
    world: World,
) -> None:
    def fail(action: str, **kwargs: Any) -> None:
        if action == "post_add":
            raise KeyError

    through = Pal.restaurants.through
    m2m_changed.connect(fail, sender=through)
    try:
        with registry.override(Pal, ByName), delivered() as found:
            # Connected anew, so that it comes after the one that fails.
            m2m_changed.disconnect(_m2m_changed, sender=through)
            m2m_changed.connect(_m2m_changed, sender=through, weak=False)
            with transaction.atomic(using=world.using):
                try:
                    world.a.restaurants.add(world.restaurant)
                except KeyError:
                    transaction.set_rollback(False, using=world.using)
            assert world.a.restaurants.exists()
            assert ends(found) == {"pal:*", "restaurant:*"}
            assert found.family("name") == {"name:*"}
    finally:
        m2m_changed.disconnect(fail, sender=through)


@override_settings(CACHE_INVALIDATION={"UNDECLARED_READS": "ignore"})
def test_who_names_a_row_at_an_end_as_his_tag_is_told(world: World) -> None:
    @cached(tags=["testapp.restaurant:{pk}"])
    def names(pk: int) -> list[str]:
        related = Pal.objects.using(world.using).filter(restaurants=pk)
        return list(related.values_list("name", flat=True))

    assert names(21) == []
    world.a.restaurants.add(world.restaurant)
    assert names(21) == ["a"]
    world.a.restaurants.clear()
    assert names(21) == []
    world.restaurant.pals.set([world.b])
    assert names(21) == ["b"]
    execute(world.using, "DELETE FROM testapp_pal_restaurants")
    assert names(21) == []


def test_rolled_back_relations_are_not_told(world: World) -> None:
    with delivered() as found, transaction.atomic(using=world.using):
        world.a.restaurants.add(world.restaurant)
        transaction.set_rollback(True, using=world.using)
    assert found == []


def statements(using: str, action: Callable[[], Any]) -> list[str]:
    with CaptureQueriesContext(connections[using]) as queries:
        action()
    return [query["sql"].split()[0] for query in queries]


def test_no_query_and_no_lock_is_added(world: World) -> None:
    changed = ["BEGIN", "INSERT", "COMMIT"]
    removed = ["BEGIN", "DELETE", "COMMIT"]
    a, b, using = world.a, world.b, world.using
    assert statements(using, lambda: a.follows.add(b)) == changed
    assert statements(using, lambda: a.follows.remove(b)) == removed
    assert statements(using, lambda: a.follows.clear()) == removed
    assert statements(using, lambda: a.follows.set([b])) == ["BEGIN", "SELECT", *changed[1:]]
    assert statements(using, lambda: a.vouchers.clear()) == removed


def test_a_row_with_a_rule_that_needs_no_values_is_deleted_without_being_loaded(
    world: World,
) -> None:
    class NamesTheRow(ModelInvalidation):
        tags = ["tag-page:{pk}"]

    with registry.override(Product, NamesTheRow):
        assert not pre_delete.has_listeners(Product)
    rows = PalTag.objects.using(world.using)
    with registry.override(PalTag, NamesTheRow):
        row = rows.create(pal=world.a, tag=world.tag)
        with delivered() as found:
            deleted = statements(world.using, rows.filter(pk=row.pk).delete)
        assert deleted == ["BEGIN", "DELETE", "COMMIT"]
        assert found.family("tag-page") == {f"tag-page:{row.pk}"}
