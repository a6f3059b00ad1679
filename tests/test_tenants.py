"""A ``KEY_FUNCTION`` that looks at the tenant: what one of them writes, all of them see."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from asgiref.sync import sync_to_async
from django.core.cache import caches
from django.core.management import call_command
from django.db import connection, transaction

from cache_invalidation import (
    Event,
    Invalidation,
    ModelInvalidation,
    cached,
    invalidate,
    no_invalidation,
    on_event,
    publish,
    registry,
)
from cache_invalidation.metrics.counters import counters
from cache_invalidation.models import AuditEntry
from cache_invalidation.operations import actions
from cache_invalidation.operations.audit import Operator
from cache_invalidation.stores import get_store
from tests import tenants
from tests.delivery.outbox.rows import at_commit
from tests.elsewhere import elsewhere
from tests.stores.steps import is_fenced
from tests.tenants import serving
from tests.testapp.models import Product, Tag

pytestmark = pytest.mark.django_db(transaction=True)

BOTH = ("first", "second")
OPERATOR = Operator(name="anna", origin=AuditEntry.Origin.REST)
LOCMEM = "django.core.cache.backends.locmem.LocMemCache"

# What is different from the default cache, or from the alias that is named.
CACHES: dict[str, tuple[str, dict[str, Any]]] = {
    **{
        name: ("default", {"KEY_FUNCTION": f"tests.tenants.{name}"})
        for name in ("by_tenant", "bare", "with_hash_tag", "hashed")
    },
    "a property": ("default", {"BACKEND": "tests.tenants.TenantsRedisCache"}),
    "locmem": ("locmem", {"KEY_FUNCTION": tenants.by_tenant}),
    "locmem, hashed": ("locmem", {"KEY_FUNCTION": tenants.hashed}),
    "a method": ("locmem", {"BACKEND": "tests.tenants.TenantsLocMemCache"}),
    "Django's Redis": ("redis_django", {"KEY_FUNCTION": tenants.by_tenant}),
    "the database": ("dbcache", {"KEY_FUNCTION": tenants.by_tenant}),
}


def use_cache(settings: Any, name: str) -> None:
    alias, config = CACHES[name]
    settings.CACHES = settings.CACHES | {"default": settings.CACHES[alias] | config}
    settings.CACHE_INVALIDATION = {"METRICS_FLUSH_INTERVAL": 3600}
    with serving("nobody"):
        caches["default"].clear()


@pytest.fixture(params=CACHES)
def cache(request: pytest.FixtureRequest, settings: Any) -> None:
    """Each kind of cache that tells tenants apart, in turn."""
    use_cache(settings, request.param)


@pytest.fixture
def redis_cache(settings: Any) -> None:
    use_cache(settings, "by_tenant")


@cached(timeout=60, name="tenants.found")
def found() -> str:
    """Return who has asked, and what is in the shared tables."""
    names = Product.objects.order_by("pk").values_list("name", flat=True)
    tags = Tag.objects.order_by("pk").values_list("name", "products__name")
    return f"{tenants.tenant.get()}: {[*names]} {[*tags]}"


@cached(timeout=60, tags=["shelf"], name="tenants.shelf")
def shelf() -> str:
    return f"{tenants.tenant.get()}: {Counted.number}"


class Counted:
    """What `shelf` shows, and no database holds."""

    number = 0


def write(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)


def operate(**named: Any) -> None:
    actions.invalidate(actions.Request(**named), OPERATOR)


PRODUCT, TAG = "testapp_product", "testapp_tag"

WRITES: dict[str, Callable[[Product, Tag], object]] = {
    "save": lambda product, tag: Product(pk=product.pk, name="new").save(update_fields=["name"]),
    "create": lambda product, tag: Product.objects.create(name="new"),
    "update": lambda product, tag: Product.objects.update(name="new"),
    "bulk_create": lambda product, tag: Product.objects.bulk_create([Product(name="new")]),
    "bulk_update": lambda product, tag: Product.objects.bulk_update(
        [Product(pk=product.pk, name="new")], ["name"]
    ),
    "raw": lambda product, tag: write(f"UPDATE {PRODUCT} SET name = 'new'"),
    "delete": lambda product, tag: product.delete(),
    "delete of all": lambda product, tag: Product.objects.all().delete(),
    "m2m": lambda product, tag: product.tags.add(tag),
    "truncate": lambda product, tag: write(f"TRUNCATE {PRODUCT} CASCADE"),
    "by hand": lambda product, tag: silently(lambda: invalidate(Product)),
    "of a row": lambda product, tag: silently(lambda: invalidate(product)),
    "of the root": lambda product, tag: silently(lambda: invalidate(tags=["*"])),
    "REST": lambda product, tag: silently(lambda: operate(tags=["testapp.product"])),
    "command": lambda product, tag: silently(
        lambda: call_command("invalidate_cache", "--tag", "testapp.product")
    ),
}


def silently(tell: Callable[[], object]) -> None:
    """Write so that only `tell` says so."""
    with no_invalidation():
        Product.objects.update(name="new")
    tell()


@pytest.mark.parametrize("way", WRITES)
def test_what_one_tenant_writes_all_of_them_see(redis_cache: None, way: str):
    product, tag = Product.objects.create(name="old"), Tag.objects.create(name="t")
    before = {}
    for name in BOTH:
        with serving(name):
            before[name] = found()
    with serving("second"):
        WRITES[way](product, tag)
    for name in BOTH:
        with serving(name):
            assert found() == found.uncached() != before[name]


def test_every_cache_tells_tenants_apart_and_their_writes_not(cache: None):
    Product.objects.create(name="old")
    for _ in range(2):
        for name in BOTH:
            with serving(name):
                assert found() == f"{name}: ['old'] []"
    with serving("second"), transaction.atomic():
        Product.objects.update(name="new")
    for name in BOTH:
        with serving(name):
            assert found() == f"{name}: ['new'] []"


def test_a_write_without_any_tenant_reaches_all_of_them(cache: None):
    Product.objects.create(name="old")
    for name in BOTH:
        with serving(name):
            found()
    Product.objects.update(name="new")
    for name in BOTH:
        with serving(name):
            assert found() == f"{name}: ['new'] []"


def test_an_event_reaches_all_of_them(redis_cache: None):
    @on_event("restocked")
    def subscriber(event: Event) -> Invalidation:
        return Invalidation(tags=["shelf"])

    try:
        Counted.number = 1
        for name in BOTH:
            with serving(name):
                shelf()
        Counted.number = 2
        with serving("first"):
            publish("restocked")
        for name in BOTH:
            with serving(name):
                assert shelf() == f"{name}: 2"
    finally:
        registry.off_event(subscriber)


def test_what_is_read_while_another_tenant_commits_is_not_kept(redis_cache: None):
    Product.objects.create(name="old")

    def read_elsewhere() -> None:
        with serving("first"):
            assert found() == "first: ['old'] []"

    with serving("second"), at_commit("default", lambda: elsewhere(read_elsewhere)):
        Product.objects.update(name="new")
    with serving("first"):
        assert found() == "first: ['new'] []"


def test_one_entry_is_dropped_for_who_is_served_and_nobody_else(cache: None):
    for name in BOTH:
        with serving(name):
            Counted.number = 1
            shelf()
    Counted.number = 2
    with serving("first"):
        shelf.invalidate()
        assert shelf() == "first: 2"
    with serving("second"):
        assert shelf() == "second: 1"


def test_an_entry_is_dropped_for_who_was_served_when_it_was_named(redis_cache: None):
    for name in BOTH:
        with serving(name):
            Counted.number = 1
            shelf()
    Counted.number = 2
    with serving("second"), transaction.atomic(), serving("first"):
        shelf.invalidate()
        assert shelf() == "first: 2", "this transaction has dropped it"
    with serving("first"):
        assert shelf() == "first: 2"
    with serving("second"):
        assert shelf() == "second: 1"


def test_a_value_is_kept_for_who_was_served_when_it_was_asked_for(cache: None):
    @cached(timeout=60, tags=["shelf"], name="tenants.turncoat")
    def turncoat() -> str:
        asked = tenants.tenant.get()
        tenants.tenant.set("second")
        return asked

    with serving("first"):
        assert turncoat() == "first"
    with serving("second"):
        assert turncoat() == "second"
    with serving("first"):
        assert turncoat() == "first"


def test_the_lock_of_one_tenant_keeps_no_other_waiting(redis_cache: None):
    @cached(timeout=60, tags=["shelf"], lock=True, name="tenants.locked")
    def locked() -> str:
        return tenants.tenant.get()

    with serving("first"):
        assert get_store().acquire(get_store().entry_place(locked.key()), "somebody", 60)
    with serving("second"):
        assert locked() == "second"


def test_plain_keys_and_patterns_are_those_of_who_was_served_when_they_were_named(
    redis_cache: None,
):
    class Rule(ModelInvalidation):
        keys = ("detail",)
        patterns = ("list:*",)

    def kept() -> list[Any]:
        return [caches["default"].get(key) for key in ("detail", "list:1")]

    for name in BOTH:
        with serving(name):
            caches["default"].set_many({"detail": 1, "list:1": 1})
    with (
        registry.override(Product, Rule),
        serving("second"),
        transaction.atomic(),
        serving("first"),
    ):
        Product.objects.create(name="a")
    with serving("first"):
        assert kept() == [None, None]
    with serving("second"):
        assert kept() == [1, 1]


def test_a_write_of_which_nobody_knows_whose_keys_it_concerns_is_no_error(
    redis_cache: None, caplog: pytest.LogCaptureFixture
):
    with serving("first"):
        found()
    with registry.override(Product, type("Rule", (ModelInvalidation,), {"keys": ["detail"]})):
        Product.objects.create(name="a")
    assert "['detail']" in caplog.text
    with serving("first"):
        assert found() == "first: ['a'] []"


def test_an_entry_of_which_nobody_knows_where_it_is_is_dropped_with_everything(
    redis_cache: None, caplog: pytest.LogCaptureFixture
):
    Counted.number = 1
    with serving("first"):
        shelf()
    Counted.number = 2
    shelf.invalidate()
    assert "tenants.shelf" in caplog.text
    with serving("first"):
        assert shelf() == "first: 2"


@pytest.mark.parametrize("name", ["by_tenant", "bare", "locmem"])
def test_a_pattern_of_one_tenant_deletes_nothing_that_keeps_values_from_being_stale(
    settings: Any, name: str
):
    use_cache(settings, name)
    store = get_store()
    with serving("first"):
        caches["default"].set_many({"a": 1, "shop.product": 1})
        shelf()
        store.fence(["shop.product"], [], "writer")
        store.count({"hits": 1})
        invalidate(patterns=["*"], everything=True)
        assert caches["default"].get_many(["a", "shop.product"]) == {}
        Counted.number += 1
        assert shelf() == f"first: {Counted.number - 1}", "entries are none of its business"
    assert is_fenced(store, "shop.product")
    assert store.counters()["hits"] == "1"


def test_what_is_counted_is_counted_for_all_of_them(cache: None):
    counters.discard()
    store = get_store()
    for name in BOTH:
        with serving(name):
            store.count({"hits": 1}, ["delivered"])
    assert store.counters()["hits"] == "2"
    assert store.recent(5) == ["delivered"] * 2


def test_threads_and_coroutines_serve_whom_they_serve(redis_cache: None):
    @cached(timeout=60, tags=["shelf"], name="tenants.later")
    async def later() -> str:
        return f"{tenants.tenant.get()}: {Counted.number}"

    async def ask(name: str) -> str:
        tenants.tenant.set(name)
        return await later()

    async def main() -> list[str]:
        Counted.number = 1
        await asyncio.gather(*map(ask, BOTH))
        Counted.number = 2
        await sync_to_async(invalidate)(tags=["shelf"])
        return list(await asyncio.gather(*map(ask, BOTH)))

    assert asyncio.run(main()) == ["first: 2", "second: 2"]
    seen = []

    def serve() -> None:
        with serving("third"):
            Counted.number = 3
            invalidate(tags=["shelf"])
            seen.append(shelf())

    thread = threading.Thread(target=serve)
    thread.start()
    thread.join()
    assert seen == ["third: 3"]


@pytest.fixture(autouse=True)
def forget_counts() -> Iterator[None]:
    yield
    counters.discard()
