"""The rest of Django's cache API, and of that of django-redis, on tracked keys."""

import contextvars
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.cache import caches
from django.db import connections

from cache_invalidation.backends import LocMemCache
from cache_invalidation.reads.hints import hints
from cache_invalidation.stores import get_store
from cache_invalidation.surfaces.tracked.keys import Key
from cache_invalidation.surfaces.tracked.units import unit_of_work
from tests.delivered import commands
from tests.elsewhere import apart
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])


@pytest.fixture(autouse=True)
def unit(cache, product):
    with unit_of_work():
        yield


def put(cache, key, value, *args, **kwargs):
    assert cache.get(key) is None
    assert cache.set(key, value, *args, **kwargs)


@pytest.mark.parametrize(
    "value", [None, False, 0, 1.5, "text", b"bytes", [1], {"a": (1, 2)}, 10**30]
)
def test_values_come_back_as_they_are(cache, value):
    missing = object()
    put(cache, "product:1", value)
    found = cache.get("product:1", missing)
    assert (found, type(found)) == (value, type(value))


@pytest.mark.filterwarnings("ignore::django.core.cache.CacheKeyWarning")
@pytest.mark.parametrize(
    "key", ["x" * 300, "a b", "ü€", "\n", "\0", "*", "[a]", "\\", "", ":"], ids=ascii
)
def test_unusual_keys(cache, key):
    put(cache, f"product:{key}", "x")
    assert cache.get(f"product:{key}") == "x"
    assert cache.touch(f"product:{key}", 100)
    assert cache.delete(f"product:{key}")
    assert f"product:{key}" not in cache


@pytest.mark.parametrize("timeout", [0.5, 1.5, None, -1, 0, 10**9], ids=str)
def test_a_timeout_means_the_same_for_all_keys(cache, timeout):
    assert cache.get("product:1") is None
    for key in ("product:1", "elsewhere"):
        cache.set(key, "x", timeout)
    assert cache.get("product:1") == cache.get("elsewhere")
    keys = "product:2", "elsewhere:2"
    assert len({cache.add(key, "x", timeout) for key in keys}) == 1
    assert len({cache.get(key) for key in keys}) == 1


def test_versions_of_a_key_are_apart(cache):
    put(cache, "product:1", "one")
    assert cache.get("product:1", version=2) is None
    assert cache.set("product:1", "two", version=2)
    assert (cache.get("product:1"), cache.get("product:1", version=2)) == ("one", "two")
    assert cache.incr_version("product:1", version=2) == 3
    assert (cache.get("product:1", version=2), cache.get("product:1", version=3)) == (None, "two")


def test_keys_that_are_not_tracked_go_by_the_cache_below(cache):
    cache.set("elsewhere", "x")
    assert cache.get("elsewhere") == "x"
    assert cache.add("elsewhere", "y") is False
    assert cache.delete("elsewhere")


def test_sessions_and_throttles_are_never_tracked(settings):
    default = {**settings.CACHES["tracked_locmem"], "OPTIONS": {"TRACK": ["*"]}}
    settings.CACHES = {**settings.CACHES, "tracked_locmem": default}
    cache = caches["tracked_locmem"]
    for key in ("django.contrib.sessions.cachexyz", "throttle_anon_::1"):
        cache.set(key, "kept")
        assert cache.get(key) == "kept"


@pytest.mark.parametrize(("own", "others"), [("a", ""), ("", "a")])
def test_a_cache_whose_keys_are_others_is_not_that_of_the_app(settings, own, others):
    there = settings.CACHES["tracked_locmem"]
    each = {
        "tracked_locmem": there | ({"KEY_PREFIX": own} if own else {}),
        "elsewhere": there | ({"KEY_PREFIX": others} if others else {}),
    }
    settings.CACHES = settings.CACHES | each
    settings.CACHE_INVALIDATION = {"CACHE": "tracked_locmem"}
    put(caches["tracked_locmem"], "product:1", "x")
    elsewhere = caches["elsewhere"]
    assert elsewhere.get("product:1") is None
    elsewhere.set("product:1", "y")
    assert caches["tracked_locmem"].get("product:1") == "x"
    assert elsewhere.get("product:1") == "y"


def test_nor_is_one_that_names_no_options(settings):
    unsaid = {name: settings.CACHES["tracked_locmem"][name] for name in ("BACKEND", "LOCATION")}
    settings.CACHES = settings.CACHES | {"elsewhere": unsaid}
    settings.CACHE_INVALIDATION = {"CACHE": "tracked_locmem"}
    elsewhere: Any = caches["elsewhere"]
    assert elsewhere._tracking() is None


def test_a_timeout_of_zero_deletes(cache):
    put(cache, "product:1", "x")
    cache.set("product:1", "y", 0)
    assert cache.get("product:1") is None


@pytest.mark.parametrize("default", ["y", lambda: "y"], ids=["value", "function"])
def test_nor_does_it_keep_anything_for_a_moment(cache, default, monkeypatch):
    kept = []
    for name in ("fill", "put_plain"):
        monkeypatch.setattr(type(get_store()), name, lambda *args: kept.append(args), raising=False)
    assert cache.get_or_set("product:1", default, 0) == "y"
    assert cache.get("product:2") is None
    list(Product.objects.all())
    assert cache.add("product:2", "y", 0)
    assert kept == []


def test_what_may_live_for_ever(cache):
    put(cache, "product:1", "x", None)
    assert cache.get("product:1") == "x"


def test_many(cache):
    assert cache.get_many(["product:1", "product:2", "other"]) == {}
    assert cache.set_many({"product:1": 1, "product:2": 2, "other": 3}) in ([], None)
    assert cache.get_many(["product:1", "product:2", "other", "product:3"]) == {
        "product:1": 1,
        "product:2": 2,
        "other": 3,
    }
    cache.delete_many(["product:1", "other"])
    assert cache.get_many(["product:1", "product:2", "other"]) == {"product:2": 2}


def test_many_take_one_round_trip(cache, redis_client):
    if isinstance(cache, LocMemCache):
        pytest.skip("only with django-redis")
    keys = [f"product:{number}" for number in range(20)]
    for key in keys:
        put(cache, key, key)
    hints.clear()
    with commands(redis_client) as sent:
        assert cache.get_many([*keys, "product:none"]) == dict(zip(keys, keys, strict=True))
    assert set(sent) <= {"mget", "set", "get"}
    assert sent["mget"] <= 2  # Once more for what is found to be a dependency.


def test_has_key(cache):
    assert "product:1" not in cache
    put(cache, "product:1", None)
    assert "product:1" in cache
    assert cache.has_key("product:1")


def test_a_lock(cache):
    assert cache.add("product:lock", "me") is True
    assert cache.add("product:lock", "you") is False
    assert cache.get("product:lock") == "me"
    assert cache.delete("product:lock")
    assert cache.add("product:lock", "you") is True


def test_a_counter(cache):
    assert cache.add("product:n", 1)
    assert (cache.incr("product:n"), cache.incr("product:n", 10), cache.decr("product:n")) == (
        2,
        12,
        11,
    )
    assert cache.get("product:n") == 11
    with pytest.raises(ValueError, match="product:none"):
        cache.incr("product:none")


def test_what_was_set_can_be_added_to(cache):
    put(cache, "product:n", 1)
    assert (cache.incr("product:n"), cache.decr("product:n", 5)) == (2, -3)
    assert cache.get("product:n") == -3


def test_a_counter_that_was_set_lives_on_as_before(cache, product):
    put(cache, "product:n", 1, 1000)
    with connections["default"].cursor() as cursor:
        cursor.execute("SELECT 1 FROM pg_class")  # Nothing can be set any more.
    assert (cache.incr("product:n"), cache.get("product:n")) == (2, 2)
    place = Key("product:n", 1, "product:*", 300).place()
    assert 900 < cache._left(place) <= 1000
    assert (
        cache.persist("product:n") if hasattr(cache, "persist") else cache.touch("product:n", None)
    )
    assert (cache.incr("product:n"), cache._left(place)) == (3, None)


def test_counters_that_several_add_to(cache, product):
    put(cache, "product:n", 0)
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: cache.incr("product:n"), range(40)))
    assert cache.get("product:n") == 40


def test_of_several_who_add_one_does(cache, product):
    def add(n):
        with unit_of_work():
            cache.get("product:1")
            Product.objects.filter(pk=n).first()
            barrier.wait(10)
            return cache.add("product:1", n)

    barrier = Barrier(4)
    with ThreadPoolExecutor(4) as pool:
        added = list(pool.map(apart(add), range(4)))
    assert sum(added) == 1
    assert cache.get("product:1") == added.index(True)


def test_add_after_get_keeps_what_was_read(cache, product):
    assert cache.get("product:1") is None
    assert cache.add("product:1", Product.objects.get(pk=product.pk).name)
    assert not cache.add("product:1", "other")
    assert cache.get("product:1") == "old"
    Product.objects.filter(pk=product.pk).update(name="new")
    assert cache.get("product:1") is None
    # What is not valid any more stands in the way of nobody.
    apart = contextvars.Context()
    assert apart.run(cache.add, "product:1", "lock")
    assert not apart.run(cache.add, "product:1", "lock")


def test_touch(cache):
    assert not cache.touch("product:1", 10)
    put(cache, "product:1", "x", 300)
    assert cache.touch("product:1", 10)
    assert cache.get("product:1") == "x"
    assert cache.touch("product:1", 0)
    assert cache.get("product:1") is None


def test_what_cannot_be_kept_is_said_as_ever(cache):
    assert cache.get("product:1") is None
    with pytest.raises(Exception, match="lambda"):
        cache.set("product:1", lambda: 0)


def test_what_django_redis_has_more(cache):
    if not hasattr(cache, "ttl"):
        pytest.skip("only with django-redis")
    put(cache, "product:1", "x", 300)
    cache.set("elsewhere", "y")
    assert 0 < cache.ttl("product:1") <= 300
    assert cache.pttl("product:1") > 1000
    assert cache.expire("product:1", 1000)
    assert cache.ttl("product:1") > 300
    assert cache.persist("product:1")
    assert cache.ttl("product:1") is None
    assert sorted(cache.keys("*")) == ["elsewhere", "product:1"]
    assert list(cache.iter_keys("product:*")) == ["product:1"]
    assert cache.set("product:1", "z", nx=True) is False
    assert cache.set("product:2", "z", xx=True) is False
    assert cache.set("product:1", "z", xx=True)
    with cache.lock("product:1"):
        assert cache.get("product:1") == "z"


def test_patterns_delete_without_a_scan(cache):
    put(cache, "product:1", "a")
    put(cache, "product:2", "b")
    put(cache, "shop:1:menu", "c")
    if not hasattr(cache, "delete_pattern"):
        pytest.skip("only with django-redis")
    assert cache.delete_pattern("product:*") == 0
    assert cache.get_many(["product:1", "product:2", "shop:1:menu"]) == {"shop:1:menu": "c"}
    cache.delete_pattern("*:menu")
    assert cache.get("shop:1:menu") is None


@pytest.mark.parametrize("default", ["x", lambda: "x"], ids=["value", "function"])
def test_get_or_set(cache, default):
    assert cache.get_or_set("product:1", default, 300) == "x"
    assert cache.get("product:1") == "x"
    assert cache.get_or_set("product:1", "y") == "x"


def test_clear(cache):
    put(cache, "product:1", "x")
    cache.clear()
    assert cache.get("product:1") is None


def test_async_twins(cache):
    async_to_sync(_use_async_twins)(cache)


@pytest.mark.parametrize("key", ["elsewhere", "product:1"])
def test_a_default_that_a_coroutine_gives(cache, key):
    async def get():
        return await cache.aget_or_set(key, lambda: "x")

    assert [async_to_sync(get)() for _ in range(2)] == ["x", "x"]


async def _use_async_twins(cache):
    assert await cache.aget("product:1") is None
    assert await cache.aset("product:1", "x")
    assert await cache.aget("product:1") == "x"
    assert await cache.aget_many(["product:1", "product:2"]) == {"product:1": "x"}
    assert await cache.ahas_key("product:1")
    assert await cache.aget_or_set("product:2", lambda: "y") == "y"
    assert await cache.adelete("product:1")
    assert await cache.aadd("product:3", 1)
    assert await cache.aincr("product:3") == 2
    assert await cache.atouch("product:2", 10)
