"""`OPTIONS["NEAR"]`: tracked keys from the memory of the process, and never an old value."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
import redis
from django.core.cache import cache as django_cache
from django.db import transaction

from cache_invalidation import CacheDependencyWarning, invalidate, unit_of_work
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.reads import protocol
from cache_invalidation.stores import get_store, near
from cache_invalidation.stores.near.waiting import holder_name
from cache_invalidation.stores.redis.store import RedisStore
from cache_invalidation.stores.tracking import Tracking
from tests.near.conftest import has_lease, until
from tests.near.keys import OPTIONS, acting, caches_with
from tests.round_trips import round_trips
from tests.stores.conftest import cluster, cluster_alias
from tests.testapp.models import Category, Product

__all__ = ["cluster"]

pytestmark = pytest.mark.django_db(transaction=True)

cache: Any = django_cache  # With the methods of `django-redis`.
KEY: Final = "product:1"


@pytest.fixture(autouse=True)
def tracked(settings: Any, in_use: None) -> None:
    settings.CACHES = caches_with(**OPTIONS)


@pytest.fixture
def away(store: RedisStore, other: RedisStore) -> RedisStore:
    """The store of another process, with a lease."""
    until(lambda: has_lease(other))
    return other


@pytest.fixture
def writer() -> Iterator[RedisStore]:
    """The store of a third process."""
    store = RedisStore("default")
    yield store
    store.close()


def get(key: str = KEY) -> Any:
    with unit_of_work():
        return cache.get(key)


def put(value: Any, key: str = KEY, timeout: float | None = 300) -> bool:
    """Set a value that depends on nothing but its key."""
    with unit_of_work():
        cache.get(key)
        return bool(cache.set(key, value, timeout))


def put_name() -> None:
    """Set a value that depends on a row."""
    with unit_of_work():
        cache.get(KEY)
        assert cache.set(KEY, Product.objects.get().name)


def place() -> str:
    return get_store().entry_place(f"k:1:{KEY}")


def kept(store: Any) -> int:
    return len(store.near.memory)


def asked(store: RedisStore, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """Return what the server is asked for from now on."""
    found: list[Any] = []
    exchange = store._servers._exchange_once  # type: ignore[attr-defined]

    def watched(commands: Any, *args: Any, **kwargs: Any) -> Any:
        found.extend(commands)
        return exchange(commands, *args, **kwargs)

    monkeypatch.setattr(store._servers, "_exchange_once", watched)
    return found


# What is answered from memory


def test_what_was_set_is_found_without_asking(store, monkeypatch):
    assert put("old")
    commands = asked(store, monkeypatch)
    assert [get(), get(), cache.get_or_set(KEY, "other")] == ["old"] * 3
    assert commands == []


def test_so_is_what_somebody_else_has_set(store, away, monkeypatch):
    assert put("old")
    with acting(away):
        assert get() == "old"
        commands = asked(away, monkeypatch)
        assert [get(), get()] == ["old"] * 2
        assert commands == []


def test_and_what_a_function_returned_to_get_or_set(store, monkeypatch):
    with unit_of_work():
        assert cache.get_or_set(KEY, number) == 7
    commands = asked(store, monkeypatch)
    with unit_of_work():
        assert cache.get_or_set(KEY, number) == 7
    assert (get(), commands) == (7, [])


def number() -> int:
    return 7


def test_other_tracked_keys_are_asked_for(store, monkeypatch):
    assert put("old", "names")
    commands = asked(store, monkeypatch)
    assert get("names") == "old"
    assert (len(commands), kept(store)) == (1, 0)


def test_a_value_that_can_be_changed_is_a_copy_for_each(store):
    assert put(["old"])
    for _ in range(3):
        found = get()
        found.append("changed")
    assert (get(), kept(store)) == (["old"], 1)


def test_one_that_cannot_is_shared(store):
    assert put(("old", 1))
    assert get() is get()


def test_what_is_set_after_a_hit_depends_on_what_the_hit_did(store, product):
    put_name()
    with unit_of_work():
        assert cache.get(KEY) == "old"
        assert cache.set(KEY, "amended")
    assert get() == "amended"
    Product.objects.update(name="new")
    assert get() is None


def test_after_a_deletion_as_well(store):
    assert put("old")
    cache.delete(KEY)
    assert put("new")
    assert get() == "new"
    with unit_of_work():
        assert cache.get(KEY) == "new"
        assert cache.set(KEY, "newer")  # Under the mark that the deletion has left.
    assert get() == "newer"


def test_who_gets_what_is_blind_does_not_know_either(store, monkeypatch):
    key = "product:blind:1"
    cache.set(key, "old")
    commands = asked(store, monkeypatch)
    assert (get(key), commands) == ("old", [])
    with unit_of_work():
        cache.get(KEY)
        cache.get(key)
        refuse()


def test_a_transaction_sees_what_it_has_written(store, product):
    put_name()
    with transaction.atomic():
        Product.objects.update(name="new")
        assert get() is None
        transaction.set_rollback(True)
    assert get() == "old"


def test_counters_are_always_asked_for(store, away):
    cache.add("product:count", 1)
    for each in (store, away, store):
        with acting(each):
            cache.incr("product:count")
    with acting(away):
        assert (cache.get("product:count"), kept(away)) == (4, 0)


def get_many(*keys: str) -> Any:
    with unit_of_work():
        return cache.get_many([KEY, *keys])


def test_many_are_kept_and_what_is_kept_is_not_asked_for(store, away):
    assert put("old")
    assert put("old", "product:2")
    with acting(away):
        for asked_for, needed in ((), 1), (("product:2", "product:3"), 1), (("product:2",), 0):
            with round_trips() as trips:
                assert get_many(*asked_for) == dict.fromkeys([KEY, *asked_for][:2], "old")
            assert trips.number == needed
    assert put("new")
    with acting(away):
        assert get_many("product:2") == {KEY: "new", "product:2": "old"}
        assert kept(away) == 2
    assert read_metrics()["near_hits"] == {"cache:product:*": 5}


def test_of_many_those_that_are_not_near_are_asked_for_as_ever(store, away):
    with unit_of_work():
        cache.get_many([KEY, "names"])
        assert cache.set_many({KEY: "old", "names": "old"}) == []
    with acting(away):
        for _ in range(2):
            assert get_many("names", "other") == {KEY: "old", "names": "old"}
        assert kept(away) == 1


def test_of_very_many_some_are_kept_each_time(store, away, monkeypatch):
    monkeypatch.setattr(protocol, "MOST_HELD", 2)
    keys = [f"product:{number}" for number in range(1, 6)]
    for key in keys:
        assert put(key, key)
    with acting(away):
        for expected in (2, 4, 5, 5):
            assert get_many(*keys) == dict(zip(keys, keys, strict=True))
            assert kept(away) == expected


def test_many_that_this_transaction_has_written_are_not_taken_from_memory(store, product):
    put_name()
    with transaction.atomic():
        Product.objects.update(name="new")
        assert get_many() == {}
        transaction.set_rollback(True)
    assert get_many() == {KEY: "old"}


def test_many_are_found_without_a_lease(store, away):
    assert put("old")
    with acting(away):
        away.near.lose()
        assert get_many("product:2") == {KEY: "old"}


def test_hits_and_waits_are_counted_by_pattern(store, away):
    assert put("old")
    for _ in range(3):
        get()
    with acting(away):
        get()
    assert put("new")
    found = read_metrics()
    assert found["near_hits"] == {"cache:product:*": 4}
    assert found["waits_by_entity_type"]["cache:product:*"]["waits"] == 1


# What changes it


def set_in_a_transaction() -> None:
    with unit_of_work():
        cache.get(KEY)
        with transaction.atomic():
            Product.objects.update(name="new")
            assert not cache.set(KEY, "new")


def evicted(then: Callable[[], object]) -> Callable[[], object]:
    """Have the server forget the value, and nobody else, and then something happen."""

    def way() -> None:
        client = redis.Redis.from_url(get_store()._cache.client._server[0])  # type: ignore[attr-defined]
        assert client.unlink(place())
        client.close()
        then()

    return way


def without_version() -> None:
    """Have the server forget a version, and somebody set another value."""
    client = redis.Redis.from_url(get_store()._cache.client._server[0])  # type: ignore[attr-defined]
    assert client.unlink(get_store().version_key("keys:product:"))
    client.close()
    assert put("new")


def delete_in_a_transaction() -> None:
    with transaction.atomic():
        Category.objects.create(name="C")
        cache.delete(KEY)


def refuse() -> None:
    """Set a value of which nobody knows what it depends on."""
    with pytest.warns(CacheDependencyWarning, match="nobody knows"):
        assert not cache.set(KEY, "new")


def set_without_get() -> None:
    with unit_of_work():
        refuse()


def set_xx() -> None:
    with unit_of_work():
        cache.get(KEY)
        assert cache.set(KEY, "new", xx=True)


def set_many() -> None:
    with unit_of_work():
        cache.get_many([KEY, "product:2"])
        assert cache.set_many({KEY: "new", "product:2": "new"}) == []


AGO: Final = datetime(2001, 1, 1, tzinfo=UTC)

#: Each way to change it, with what is found then.
WAYS: Final[dict[str, tuple[Callable[[], object], object]]] = {
    "set": (lambda: put("new"), "new"),
    "set that is refused": (set_without_get, None),
    "set for no time": (lambda: put("new", timeout=0), None),
    "set xx": (set_xx, "new"),
    "set_many": (set_many, "new"),
    "set in a transaction": (set_in_a_transaction, None),
    "set after a version was lost": (without_version, "new"),
    "set after it was evicted": (evicted(lambda: put("new")), "new"),
    "get_or_set after it was evicted": (evicted(lambda: cache.get_or_set(KEY, number)), 7),
    "add after it was evicted": (evicted(lambda: cache.add(KEY, "new")), "new"),
    "delete": (lambda: cache.delete(KEY), None),
    "delete in a transaction": (delete_in_a_transaction, None),
    "delete after it was evicted": (evicted(lambda: cache.delete(KEY)), None),
    "delete_many": (lambda: cache.delete_many([KEY, "product:2"]), None),
    "delete_pattern of a prefix": (lambda: cache.delete_pattern("product:*"), None),
    "delete_pattern of another form": (lambda: cache.delete_pattern("product:?"), None),
    "touch for no time": (lambda: cache.touch(KEY, 0), None),
    "expire": (lambda: cache.expire(KEY, 0), None),
    "pexpire": (lambda: cache.pexpire(KEY, timedelta(0)), None),
    "expire_at": (lambda: cache.expire_at(KEY, AGO), None),
    "pexpire_at": (lambda: cache.pexpire_at(KEY, 1000), None),
    "incr_version": (lambda: unit_of_work()(cache.incr_version)(KEY), None),
    "a write": (lambda: Product.objects.update(name="new"), None),
    "invalidate by key": (lambda: invalidate(keys=[KEY]), None),
    "invalidate by pattern": (lambda: invalidate(patterns=["product:*"]), None),
    "everything": (lambda: get_store().drop_everything(), None),
}


@pytest.mark.parametrize("knows", [True, False], ids=["", "by who does not know NEAR"])
@pytest.mark.parametrize("way", WAYS)
def test_nobody_has_the_old_value_any_more(
    way: str,
    knows: bool,
    store: Any,
    away: RedisStore,
    writer: RedisStore,
    product: Product,
    monkeypatch: Any,
):
    change, expected = WAYS[way]
    put_name()
    with acting(away):
        assert get() == "old"
    assert (kept(store), kept(away)) == (1, 1)
    with acting(writer), monkeypatch.context() as unaware:
        if not knows:
            unaware.setattr(Tracking, "is_near", lambda self, key: False)
            unaware.setattr(near, "_in_use", False)
        change()
    assert near.is_in_use()
    for each in (store, away):
        with acting(each):
            assert get() == expected
    near.take_into_use()


@pytest.mark.parametrize(("change", "expected"), [("incr", 2), ("decr", 0)])
def test_nor_an_old_number(change, expected, store, away):
    assert put(1)
    with acting(away):
        assert get() == 1
        with unit_of_work():
            assert getattr(cache, change)(KEY) == expected
    for each in (store, away):
        with acting(each):
            assert get() == expected


def test_who_lets_it_live_longer_tells_nobody(store, away):
    assert put("old")
    with acting(away):
        assert get() == "old"
    assert cache.touch(KEY, 1000)
    assert cache.pexpire(KEY, 2_000_000)
    assert cache.touch(KEY, None)
    assert not cache.add(KEY, "new")
    assert (kept(store), kept(away)) == (1, 1)
    assert cache.touch(KEY, 1000)
    assert (kept(store), kept(away)) == (0, 0)


def test_it_goes_when_its_time_is_over(store, monkeypatch):
    assert put("old", timeout=1000)
    (found,) = store.near.memory._kept.values()
    found.expires -= 1000
    store._servers.ask("UNLINK", place())
    assert get() is None


def test_whoever_is_silent_is_waited_for_and_buried(store, away):
    assert put("old")
    holder = holder_name("silent", 0.01)  # Such as one that was killed.
    away.renew(holder, 0, {}, joins=True)
    assert away.hold(place(), (), holder).stamp
    assert put("new")
    assert away.renew(holder, 0, {}) is None


# What is done to it while somebody deletes it


@pytest.mark.parametrize(
    "way",
    [
        lambda: cache.expire(KEY, 0),
        lambda: cache.expire(KEY, 10**6),
        lambda: cache.pexpire_at(KEY, 1000),
        lambda: cache.persist(KEY),
        lambda: set_without_get(),
    ],
    ids=["expire", "expire later", "pexpire_at", "persist", "set that is refused"],
)
def test_the_fence_of_who_deletes_it_stays(way, store):
    assert put("old")
    store.fence([], [place()], "a transaction")
    lasts = store._servers.ask("PTTL", place())
    assert not way()
    assert store.lookup(place(), ()).entry_fenced
    assert 0 < store._servers.ask("PTTL", place()) <= lasts


# Where there are no leases


@pytest.fixture
def without_leases(settings: Any) -> Any:
    settings.CACHE_INVALIDATION = {"NEAR_WAIT": 0}
    return get_store()


def test_without_a_lease_the_value_does_not_come_a_second_time(without_leases, monkeypatch):
    assert put("old")
    monkeypatch.setattr(without_leases, "lookup", None)
    commands = asked(without_leases, monkeypatch)
    assert get() == "old"
    assert [command[0] for command in commands] == ["GETRANGE", "MGET"]


def test_but_another_one_under_the_same_versions(without_leases, other):
    assert put("old")
    with acting(other):
        assert put("new")
    assert get() == "new"
    cache.touch(KEY, 0)
    assert get() is None


# What it costs other keys


@pytest.mark.parametrize("options", [OPTIONS, {**OPTIONS, "NEAR": []}], ids=["near", "not"])
def test_other_keys_take_as_many_round_trips_as_ever(settings, options, monkeypatch):
    settings.CACHES = caches_with(**options)
    store: Any = get_store()
    store.near.close()  # Which gives back nothing meanwhile.
    conversations: list[int] = []
    exchange = store._servers._exchange_once

    def watched(commands: Any, *args: Any, **kwargs: Any) -> Any:
        conversations.append(len(commands))
        return exchange(commands, *args, **kwargs)

    put("old", "names")
    monkeypatch.setattr(store._servers, "_exchange_once", watched)
    for do, number in (
        (lambda: put("new", "names"), 2),
        (lambda: get("names"), 1),
        (lambda: cache.touch("names", 10), 2),
        (lambda: cache.expire("names", 0), 1),
        (lambda: cache.add("names", 1), 3),
        (lambda: cache.delete("names"), 2),
    ):
        conversations.clear()
        do()
        assert len(conversations) == number


def test_on_a_cluster_the_versions_are_asked_for(settings, cluster, monkeypatch):
    alias = cluster_alias(cluster, **OPTIONS)
    backend = "cache_invalidation.backends.RedisCache"
    settings.CACHES = {**settings.CACHES, "default": {**alias, "BACKEND": backend}}
    store: Any = get_store()
    assert put("old")
    with monkeypatch.context() as without:
        without.setattr(store, "lookup", None)
        assert get() == "old"
    for change, expected in (
        (lambda: put("new"), "new"),
        (lambda: cache.touch(KEY, 0), None),
        (lambda: put("newer"), "newer"),
        (lambda: cache.expire(KEY, 0), None),
        (lambda: cache.add(KEY, "newest"), "newest"),
        (lambda: cache.clear(), None),
    ):
        change()
        assert get() == expected


# What fails


def test_who_does_not_know_what_a_set_has_done_answers_nothing_alone(store, monkeypatch, caplog):
    assert put("old")
    with unit_of_work(), monkeypatch.context() as failing:
        cache.get(KEY)
        failing.setattr(store._servers, "_exchange", unanswered)
        assert not cache.set(KEY, "new")
        assert not cache.touch(KEY, 0)
        assert not cache.expire(KEY, 0)
        assert not cache.add(KEY, "new")
    assert kept(store) == 0


def unanswered(*args: Any, **kwargs: Any) -> Any:
    raise redis.ConnectionError("the connection was cut")
