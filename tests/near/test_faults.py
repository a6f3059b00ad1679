"""What goes wrong around near values, one fault at a time."""

import os
from collections.abc import Callable, Iterator
from threading import Event, Thread
from typing import Any

import pytest
import redis
from django.core.cache import caches
from django.utils.safestring import SafeString, mark_safe

from cache_invalidation import cached
from cache_invalidation.delivery import fencing
from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.reads.near import ELSEWHERE
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import Delivery, Filling, new_token
from cache_invalidation.stores.near import holding
from cache_invalidation.stores.near.memory import Kept, Lease, Memory
from cache_invalidation.stores.redis.scripts import script
from cache_invalidation.stores.redis.store import RedisStore
from example_project.servers import ValkeyServer
from tests.near.conftest import has_lease, until
from tests.near.test_functions import at_hand, kept, name_of
from tests.stores.steps import PATIENCE, alias_of, sample
from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db(transaction=True)

SLOW = "slow.60000"  # Somebody with a lease so long that nobody waits for its end.


@pytest.fixture
def slow(store: Any) -> str:
    """A holder who answers when the test says so, and holds "tag"."""
    store.renew(SLOW, 0, {}, joins=True)
    assert hold(store)
    return SLOW


def hold(store: Any, *tags: str) -> int | None:
    before = sample(store, "slow", *(tags or ("tag",)))
    filling = Filling(entry=store.entry_place("slow"), payload=b"", versions=before.versions)
    stamp: int | None = store.fill_and_hold(filling, SLOW)
    return stamp


@pytest.fixture
def waits(store: Any, slow: str) -> Callable[[Callable[[], Any]], None]:
    """Assert that a call tells the slow one, and waits for an answer; then that is given."""

    def check(call: Callable[[], Any]) -> None:
        thread = Thread(target=call, daemon=True)
        thread.start()
        thread.join(0.5)
        assert thread.is_alive()
        until(lambda: bool(store.renew(SLOW, 0, {}).items))
        store.renew(SLOW, 10**6, {})
        thread.join(PATIENCE)
        assert not thread.is_alive()

    return check


def test_who_has_answered_a_fence_that_lapsed_is_asked_again(store, slow, redis_client, waits):
    token = new_token()
    told = store.fence(["tag"], [], token)
    store.renew(slow, told.holders[slow], {})
    redis_client.delete(store.version_key("tag"))
    assert hold(store)
    delivery = Delivery(token=token, tags=["tag"], told=told, is_fenced=True)
    waits(lambda: store.deliver(delivery))


def test_if_nobody_knows_whom_a_fence_has_told_all_are_told_again(store, slow, waits):
    token = new_token()
    assert slow in store.fence(["tag"], [], token).holders  # And that answer is lost.
    waits(lambda: store.deliver(Delivery(token=token, tags=["tag"])))


def test_the_first_fence_of_a_process_says_which_server_it_is_for(store, redis_client):
    redis_client.flushdb()
    new = RedisStore("default")
    new.fence(["tag"], [], new_token())
    assert redis_client.get(f"{store._near}e").endswith(f"@{store._servers.identity}".encode())
    new.close()


@pytest.mark.parametrize("pattern", ["*product*", "*"])
def test_patterns_of_the_project_leave_the_books_alone(store, product, redis_client, pattern):
    assert [name_of(product.pk)] * 2 == ["old"] * 2
    books = sorted(redis_client.keys("ci:n:*"))
    assert caches["default"].delete_pattern(pattern)  # type: ignore[attr-defined]
    assert sorted(redis_client.keys("ci:n:*")) == books
    Product.objects.update(name="new")
    assert name_of(product.pk) == "new"


def test_a_child_of_a_fork_has_nothing_at_hand(store, product):
    for _ in range(3):
        name_of(product.pk)
    until(lambda: name_of(product.pk) == "old" and at_hand(product) == "old")
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        os.write(write, str(at_hand(product) is ELSEWHERE).encode())
        os._exit(0)
    os.waitpid(pid, 0)
    assert os.read(read, 100) == b"True"


def test_nor_does_it_give_up_what_its_parent_holds(store, redis_client):
    leave, holder = store.near._leave_at_exit, store.near.holder()
    pid = os.fork()
    if not pid:
        try:
            leave()
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    assert store.near.holder() == holder
    assert redis_client.hexists(f"{store._near}h", holder)


def test_a_thread_that_goes_on_in_a_child_says_nothing(store, redis_client, monkeypatch):
    """Real ones do not; it is different with gevent."""
    near, holder, thread = store.near, store.near.holder(), store.near._thread
    assert holder
    assert thread

    def renew(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("its parent is asked for that")

    before = near.memory
    near.after_fork()
    monkeypatch.setattr(store, "renew", renew)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert not before.lease.holder
    assert redis_client.hexists(f"{store._near}h", holder)


def test_what_is_stored_without_a_lease_is_not_kept(store, product, monkeypatch):
    asks: list[bool] = []

    @cached(near=True, name="near.more")
    def name_and_more(pk: int) -> tuple[str, int]:
        name, number = Product.objects.get(pk=pk).name, 0
        if asks:
            monkeypatch.setattr(store.near, "holder", lambda: "")
            number = Category.objects.count()
        return name, number

    @cached(name="near.mints")
    def mints(pk: int) -> str:
        return Product.objects.get(pk=pk).name

    name_and_more(product.pk)
    Product.objects.update(name="new")
    mints(product.pk)  # Now there is a version, and the old entry beside it.
    asks.append(True)
    assert name_and_more(product.pk) == ("new", 0)
    monkeypatch.undo()
    asks.clear()
    until(lambda: has_lease(store))
    Category.objects.create(name="a")
    asks.append(True)
    assert name_and_more(product.pk) == ("new", 1)


def test_without_leases_what_was_evicted_is_kept_again(settings):
    settings.CACHE_INVALIDATION = {"NEAR_WAIT": 0, "NEAR_BYTES": 8000}
    memory = get_store().near.memory  # type: ignore[union-attr]

    @cached(near=True, name="near.again", tags=["n:{n}"])
    def text(n: int) -> str:
        return "x" * 1000

    for _ in range(2):
        for number in range(9):
            text(number)
            assert memory.get(get_store().entry_place(text.key(number))) is not None
    assert not memory.take_given_up()


def test_safe_text_is_shared(store):
    @cached(near=True, name="near.safe", tags=["safe"])
    def text() -> tuple[SafeString]:
        return (mark_safe("<b>"),)

    assert [type(text()[0]) for _ in range(3)] == [SafeString] * 3
    assert text() is text()


def test_an_argument_that_cannot_be_part_of_a_key_is_told_of_as_ever(store):
    with pytest.raises(TypeError, match="pass a tuple"):
        name_of([1])  # type: ignore[arg-type]


def test_a_delivery_that_is_broken_off_waits_for_leases(store, product, monkeypatch):
    waited = []
    monkeypatch.setattr(store, "wait_for_leases", lambda on_wait: waited.append(True))

    def broken(*args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("too late")

    monkeypatch.setattr(fencing, "send", broken)
    Product.objects.update(name="new")
    assert waited


class Interrupts(frozenset[str]):
    """Keys after the first of which somebody is interrupted."""

    def __iter__(self) -> Iterator[str]:
        yield "a"
        raise KeyboardInterrupt


def kept_as(place: str, lease: Lease, stamp: int, keys: frozenset[str]) -> Kept:
    return Kept(place, b"1", True, 1, lease, stamp, {}, b"", keys, 1e9, b"")


def test_what_was_looked_up_last_and_not_kept_is_given_up_with_what_was_kept():
    memory, lease = Memory(), Lease("me")
    memory.begin(lease)
    assert memory.keep(kept_as("first", lease, 1, frozenset({"first", "both"})), 10**6)
    memory.let_go(lease, {"second", "both"}, 2)
    assert memory.take_given_up() == {"second": 2}
    memory.drop(3, ["first"])
    assert memory.take_given_up() == {"first": 1, "both": 2}


def test_who_is_interrupted_leaves_nothing_half_done():
    memory, lease = Memory(), Lease("me")
    memory.begin(lease)

    def keep(place: str, stamp: int, keys: frozenset[str]) -> bool:
        return memory.keep(kept_as(place, lease, stamp, keys), 10**6)

    assert keep("first", 1, frozenset("b"))
    with pytest.raises(KeyboardInterrupt):
        keep("second", 2, Interrupts("ab"))
    with pytest.raises(KeyboardInterrupt):
        memory.drop(3, Interrupts("b"))
    assert not keep("third", 4, frozenset("a"))
    assert len(memory) == 0


def registered(store: Any, redis_client: Any) -> set[str]:
    return set(redis_client.smembers(f"{store._near}m:{store.near.holder()}"))


def test_nobody_is_registered_for_what_is_not_kept(store, product, redis_client):
    @cached(near=True, name="near.odd")
    def odd(pk: int) -> Any:
        found = Product.objects.get(pk=pk).name
        return found if found == "old" else lambda: found

    @cached(name="near.mints again")
    def mints(pk: int) -> str:
        return Product.objects.get(pk=pk).name

    holder = store.near.holder()
    odd(product.pk)
    assert registered(store, redis_client)
    Product.objects.update(name="new")
    mints(product.pk)
    odd(product.pk)  # An entry is there, which is not valid, and cannot be replaced.
    until(lambda: not registered(store, redis_client))
    assert (kept(store), store.near.memory.lease.holder) == (0, holder)


def test_a_server_that_has_become_another_leaves_a_young_epoch(store, redis_client):
    root, epoch = store.version_key("root"), f"{store._near}e"
    # In one step: the thread of the store says which server it is as well.
    with redis_client.pipeline() as steps:
        steps.set(epoch, "+1.1@before")
        steps.execute_command(*script("identify", [root], "after", store._near))
        steps.get(epoch)
        *_, found = steps.execute()
    assert found.startswith(b"-")
    assert found.endswith(b"@after")


def store_at(settings: Any, server: ValkeyServer, **options: Any) -> Any:
    default = settings.CACHES["default"]
    config = default | {"LOCATION": server.url, "OPTIONS": default["OPTIONS"] | options}
    return get_store(alias_of(settings, "elsewhere", config))


def test_where_nobody_may_listen_there_are_no_leases(settings, valkey):
    with redis.Redis.from_url(valkey.url) as client:
        client.execute_command("ACL", "SETUSER", "default", "resetchannels")
    assert "channels" in store_at(settings, valkey).grants_leases()


def test_a_server_that_cannot_be_listened_to_is_as_unavailable_as_any(settings, valkey):
    store = store_at(settings, valkey)
    assert not store.grants_leases()
    valkey.kill()
    with pytest.raises(StoreUnavailable), store.ring("me"):
        pass


def test_a_policy_that_is_changed_takes_the_leases_away(settings, valkey, monkeypatch, caplog):
    asked = Event()
    monkeypatch.setattr(holding, "ASKING", 0.0)
    store = store_at(settings, valkey)
    evicts = store.evicts

    def told() -> str:
        asked.set()
        return str(evicts())

    monkeypatch.setattr(store, "evicts", told)
    until(lambda: has_lease(store))
    asked.clear()
    assert asked.wait(PATIENCE)
    lease = store.near.memory.lease
    assert lease.holder
    with redis.Redis.from_url(valkey.url) as client:
        client.config_set("maxmemory-policy", "allkeys-lru")
        until(lambda: not lease.until)
        until(lambda: not client.hexists(f"{store._near}h", lease.holder))
        warning = "allkeys-lru, which may evict who holds what"
        until(lambda: not has_lease(store) and warning in caplog.text)
        client.config_set("maxmemory-policy", "noeviction")
    assert not has_lease(store)


@pytest.mark.parametrize("kind", ["ConnectionPool", "BlockingConnectionPool"])
def test_a_small_pool_has_connections_for_others(settings, valkey, kind):
    pooled = {"max_connections": 1} | ({"timeout": 0.1} if kind.startswith("B") else {})
    store = store_at(
        settings,
        valkey,
        CONNECTION_POOL_CLASS=f"redis.connection.{kind}",
        CONNECTION_POOL_KWARGS=pooled,
    )
    store.near.holder()
    until(lambda: has_lease(store) or store.near._told)
    assert store.versions(["a"]) == {"a": None}
