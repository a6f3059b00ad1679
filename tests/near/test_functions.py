"""`cached(near=True)`: hits from the memory of the process, with the promise kept."""

import os
from functools import WRAPPER_ASSIGNMENTS, wraps
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.utils import translation

from cache_invalidation import cached
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.reads.near import ELSEWHERE
from cache_invalidation.stores import get_store, near
from cache_invalidation.stores.redis.near import RedisNear
from cache_invalidation.transactions.batch import Batch
from tests.near.conftest import has_lease, until
from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db(transaction=True)


@cached(near=True)
def name_of(pk: int) -> str:
    return Product.objects.get(pk=pk).name


@cached(near=True)
def names() -> list[str]:
    return list(Product.objects.order_by("pk").values_list("name", flat=True))


def kept(store: Any) -> int:
    return len(store.near.memory)


def test_a_hit_asks_nobody(store, product, monkeypatch):
    assert name_of(product.pk) == "old"
    with monkeypatch.context() as without:
        without.setattr(store, "_servers", None)
        assert [name_of(product.pk) for _ in range(3)] == ["old"] * 3


def test_a_write_drops_it(store, product):
    assert name_of(product.pk) == "old"
    assert kept(store) == 1
    product.name = "new"
    product.save()
    assert kept(store) == 0
    assert name_of(product.pk) == "new"
    Product.objects.update(name="newest")
    assert name_of(product.pk) == "newest"


def test_and_nothing_else(store, product):
    other = Product.objects.create(name="other")
    assert (name_of(product.pk), name_of(other.pk)) == ("old", "other")
    other.save()
    assert kept(store) == 1
    assert name_of(product.pk) == "old"


def test_one_looked_up_is_kept_as_well(store, product):
    name_of(product.pk)
    store.near.lose()
    until(lambda: has_lease(store))
    assert kept(store) == 0
    name_of(product.pk)
    assert kept(store) == 1


def test_a_value_that_can_be_changed_is_a_copy_for_each(store, product):
    found = names()
    for _ in range(3):
        found.append("changed")
        found = names()
        assert found == ["old"]
    assert kept(store) == 1


def test_one_that_cannot_is_shared(store, product):
    name_of(product.pk)
    assert name_of(product.pk) is name_of(product.pk)


def test_a_transaction_sees_what_it_has_written(store, product):
    name_of(product.pk)
    name_of(product.pk)
    with transaction.atomic():
        Product.objects.update(name="new")
        assert name_of(product.pk) == "new"
        transaction.set_rollback(True)
    assert name_of(product.pk) == "old"


def test_until_then_it_is_not_at_hand_and_what_others_write_is_no_reason(store, product):
    until(lambda: name_of(product.pk) == at_hand(product))
    stray = Batch("default", lambda batch: None)  # Such as one in a traceback that is kept.
    assert at_hand(product) == "old"
    with transaction.atomic():
        Category.objects.create(name="new")
        assert at_hand(product) is ELSEWHERE
    assert at_hand(product) == "old"
    del stray


def at_hand(product: Product) -> Any:
    assert name_of.at_hand is not None
    return name_of.at_hand.get((product.pk,))


def test_an_invalidation_by_name_drops_it(store, product):
    name_of(product.pk)
    name_of.invalidate(product.pk)
    assert kept(store) == 0


def test_a_refresh_is_seen_by_all(store, other):
    rates = iter(range(9))

    @cached(near=True, name="near.rate", tags=["rate"])
    def rate() -> int:
        return next(rates)

    assert rate() == 0
    entry = store.entry_place(rate.key())
    until(lambda: has_lease(other))
    other.hold(entry, (), other.near.holder())
    before = other.near.memory.lease
    assert rate.refresh() == 1
    assert rate() == 1
    assert rate() == 1
    assert other.near.memory.lease is before  # It has answered.


def test_it_goes_when_its_time_is_over(store, product, monkeypatch):
    @cached(near=True, timeout=1000, name="near.short")
    def short() -> str:
        return "short"

    short()
    short()
    (found,) = store.near.memory._kept.values()
    found.expires = 0.1
    asked, hold = [], store.hold

    def watched(*args: Any) -> Any:
        asked.append(args)
        return hold(*args)

    monkeypatch.setattr(store, "hold", watched)
    assert [short(), short()] == ["short"] * 2
    assert len(asked) == 1


def test_what_it_varies_on_is_part_of_it(store):
    @cached(near=True, vary_on="language", name="near.language")
    def language() -> str:
        return translation.get_language()

    for code in ("de", "fr", "de", "fr"):
        with translation.override(code):
            assert language() == code
    assert kept(store) == 2


def test_who_is_served_is_part_of_it(settings, store):
    settings.CACHES = {
        **settings.CACHES,
        "default": {**settings.CACHES["default"], "KEY_FUNCTION": "tests.tenants.by_tenant"},
    }
    from tests.tenants import tenant

    @cached(near=True, name="near.tenant", tags=["tenant"])
    def served() -> str:
        return str(tenant.get())

    until(lambda: has_lease(get_store()))
    for name in ("a", "b", "a", "b"):
        token = tenant.set(name)
        try:
            assert served() == name
        finally:
            tenant.reset(token)


def test_outer_functions_depend_on_it(store, product):
    @cached(name="near.outer")
    def outer(pk: int) -> str:
        return name_of(pk).upper()

    name_of(product.pk)
    name_of(product.pk)
    assert outer(product.pk) == "OLD"
    Product.objects.update(name="new")
    assert outer(product.pk) == "NEW"


def test_coroutines_have_it_too(store, product):
    @cached(near=True, name="near.async")
    async def anywhere(pk: int) -> str:
        return (await Product.objects.aget(pk=pk)).name

    call = async_to_sync(anywhere)
    assert [call(product.pk), call(product.pk)] == ["old"] * 2
    assert kept(store) == 1
    Product.objects.update(name="new")
    assert call(product.pk) == "new"


def test_hits_are_counted(store, product):
    for _ in range(5):
        name_of(product.pk)
    rates = read_metrics()["functions"][f"{__name__}.name_of"]
    assert (rates["hits"], rates["misses"]) == (4, 1)


def test_no_more_than_so_many_bytes_are_kept(settings, store):
    settings.CACHE_INVALIDATION = {"NEAR_BYTES": 20_000}
    store = get_store()
    until(lambda: has_lease(store))

    @cached(near=True, name="near.many", tags=["n:{n}"])
    def text(n: int) -> str:
        return "x" * 1000

    for number in range(50):
        text(number)
    assert 0 < store.near.memory.size <= 20_000
    assert 0 < kept(store) < 20


@pytest.mark.parametrize("wait", [0, 0.25])
def test_without_a_lease_the_versions_are_asked_for(settings, wait, product, monkeypatch):
    settings.CACHE_INVALIDATION = {"NEAR_WAIT": wait}
    store: Any = get_store()
    monkeypatch.setattr(RedisNear, "grants_leases", lambda self: "it is only a test")
    assert name_of(product.pk) == "old"
    assert kept(store) == 1
    again: list[str] = []
    look_again = store.look_again

    def watched(entry: str, *args: Any) -> Any:
        again.append(entry)
        return look_again(entry, *args)

    monkeypatch.setattr(store, "look_again", watched)
    monkeypatch.setattr(store, "lookup", None)
    assert name_of(product.pk) == "old"
    assert len(again) == 1
    monkeypatch.undo()
    Product.objects.update(name="new")
    assert name_of(product.pk) == "new"
    assert not store.near.holder()


def test_other_caches_take_no_notice(settings, product):
    settings.CACHE_INVALIDATION = {"CACHE": "locmem"}
    assert [name_of(product.pk), name_of(product.pk)] == ["old"] * 2
    Product.objects.update(name="new")
    assert name_of(product.pk) == "new"


def test_a_child_of_a_fork_keeps_nothing_of_its_parent(store, product):
    name_of(product.pk)
    name_of(product.pk)
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        found: Any = get_store().near
        os.write(write, f"{len(found.memory)} {found.holder() or '-'}".encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 100) == b"0 -"
    assert name_of(product.pk) == "old"


def test_nobody_looks_for_holders_where_nobody_holds(redis_client):
    near._in_use = False
    redis_client.flushdb()
    Category.objects.create(name="a")
    assert not redis_client.keys("*ci:n:*")


def test_what_wraps_a_near_function_has_values_of_its_own(store):
    @cached(near=True, name="near.net", tags=["rate"])
    def net(rate: int) -> int:
        return rate

    @cached(name="near.gross", tags=["rate"])
    @wraps(net)
    def gross(rate: int) -> int:
        return net(rate) * 2

    for _ in range(4):
        assert (net(3), gross(3)) == (3, 6)
    # What is its own is in slots, since `wraps` copies all else.
    assert vars(net).keys() <= {*WRAPPER_ASSIGNMENTS, "__wrapped__"}
