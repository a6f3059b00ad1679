"""Redis Cluster: keys on several nodes, nodes that fail, slots that move."""

from collections.abc import Callable, Iterator
from itertools import count
from typing import Any
from unittest import mock

import pytest
from django.core.cache import caches

from cache_invalidation import cached, cached_together
from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import Delivery, Filling
from cache_invalidation.stores.redis.cluster_store import RedisClusterStore
from cache_invalidation.stores.redis.nodes import slot_of
from example_project.topologies import ClusterServers, ValkeyNode, free_port, wait_for
from tests.reads.fetching import fetched, learn
from tests.stores.conftest import cluster_alias
from tests.stores.steps import MISS, alias_of, drop, keep, recall, remember, sample
from tests.stores.test_sentinel import crash, cut_off

pytestmark = pytest.mark.slow

ROOT_SLOT = slot_of("cluster:1:ci:t:*")


def slot_of_tag(tag: str) -> int:
    return slot_of(f"cluster:1:ci:t:{tag}")


def name_on(cluster: ClusterServers, shard: list[ValkeyNode], kind: str) -> str:
    """Return the name of an entry ("e") or of a tag ("t") that is on that shard."""
    names = (f"name{number}" for number in count())
    return next(
        name for name in names if cluster.shard_of(slot_of(f"cluster:1:ci:{kind}:{name}")) is shard
    )


def tag_on(cluster: ClusterServers, shard: list[ValkeyNode]) -> str:
    return name_on(cluster, shard, "t")


def alias_on(settings: Any, cluster: ClusterServers) -> str:
    return alias_of(settings, "cluster", cluster_alias(cluster))


@pytest.fixture
def private() -> Iterator[ClusterServers]:
    """A cluster that the test may tear apart."""
    with ClusterServers() as servers:
        yield servers


@pytest.fixture
def with_replicas() -> Iterator[ClusterServers]:
    with ClusterServers(replicas=1) as servers:
        yield servers


def sizes(cluster: ClusterServers) -> list[int]:
    return [int(node.ask("DBSIZE")) for node in cluster.nodes]


def test_the_store_of_a_cluster_is_chosen_by_its_client_class(settings, cluster):
    store = get_store(alias_on(settings, cluster))
    assert isinstance(store, RedisClusterStore)
    assert store.condition().problem is None


def test_a_cluster_behind_another_client_class_is_reported(settings, cluster):
    config = cluster_alias(cluster, CLIENT_CLASS="django_redis.client.DefaultClient")
    factory = "cache_invalidation.stores.redis.cluster.ClusterConnectionFactory"
    without = get_store(alias_of(settings, "plain", config | {"LOCATION": cluster.urls[0]}))
    assert "node of a cluster" in str(without.condition().problem)
    config["OPTIONS"]["CONNECTION_FACTORY"] = factory
    store = get_store(alias_of(settings, "factory", config))
    assert "ClusterClient" in str(store.condition().problem)


def test_what_the_project_caches_itself_is_spread_over_all_nodes_and_found(settings, cluster):
    cache: Any = caches[alias_on(settings, cluster)]
    cache.clear()
    values = {f"key:{number}": number for number in range(300)}
    cache.set_many(values, timeout=60)
    assert min(sizes(cluster)) > 0
    assert cache.get_many([*values, "unknown"]) == values
    assert cache.get_many([]) == {}
    assert sorted(cache.keys("key:*")) == sorted(cache.iter_keys("key:*")) == sorted(values)
    assert cache.ttl("key:7") > 50
    assert cache.incr("key:7") == 8
    assert cache.delete_many(["key:1", "key:2", "unknown"]) == 2
    assert cache.get_many(["key:1", "key:2", "key:3"]) == {"key:3": 3}
    assert cache.delete_many([]) == 0
    cache.clear()
    assert sizes(cluster) == [0, 0, 0]


def test_delete_pattern_of_the_project_deletes_on_every_node(settings, cluster):
    cache: Any = caches[alias_on(settings, cluster)]
    cache.clear()
    cache.set_many({f"list:{number}": 1 for number in range(3_000)})
    cache.set("other", 1)
    assert cache.delete_pattern("list:*", itersize=50) == 3_000
    assert sum(sizes(cluster)) == 1
    assert cache.delete_pattern("list:*") == 0


def test_the_store_deletes_patterns_on_every_node(settings, cluster):
    store = get_store(alias_on(settings, cluster))
    cache: Any = caches["cluster"]
    cache.clear()
    remember(store, "page", "value", "*", "a")
    cache.set_many({f"list:{number}": 1 for number in range(3_000)})
    assert store.delete_patterns([store.pattern_place("list:*")] * 2) == 3_000
    assert sum(sizes(cluster)) == 3
    assert recall(store, "page", "*", "a") == "value"


def test_a_cluster_that_is_down_can_be_ignored_by_the_project(settings):
    config = {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": "redis://127.0.0.1:1",
        "OPTIONS": {
            "CLIENT_CLASS": "cache_invalidation.stores.redis.cluster.ClusterClient",
            "IGNORE_EXCEPTIONS": True,
        },
    }
    cache: Any = caches[alias_of(settings, "cluster", config)]
    assert cache.get("key", "default") == "default"
    assert cache.get_many(["key"]) == {}
    assert cache.set("key", 1) is None
    assert cache.set_many({"key": 1}) is None
    assert cache.delete_pattern("*") is None
    assert get_store("cluster").condition().problem is None


STEPS: dict[str, Callable[[RedisClusterStore, str], object]] = {
    "lookup": lambda store, tag: recall(store, "page", tag),
    "versions": lambda store, tag: store.versions([tag]),
    "mint": lambda store, tag: store.mint([tag], 60),
    "fill": lambda store, tag: store.fill(
        Filling(entry=store.entry_place("page"), payload=b"", versions={tag: "version"}, timeout=60)
    ),
    "fence": lambda store, tag: store.fence([tag, "a", "b", "c"], [], "writer"),
    "deliver": lambda store, tag: drop(store, tag, "a", "b", "c"),
    "patterns": lambda store, tag: store.delete_patterns([store.pattern_place("list:*")]),
    "ping": lambda store, tag: store.ping(),
}


def test_one_node_that_is_down_makes_the_store_unavailable_and_nothing_else(settings, private):
    alias = alias_on(settings, private)
    dead = private.shards[0]
    tag = tag_on(private, dead)
    begun = {name: RedisClusterStore(alias) for name in STEPS}
    calm = RedisClusterStore(alias)
    for store in (*begun.values(), calm):
        store.ping()
    dead[0].kill()
    for name, step in STEPS.items():
        for store in (begun[name], RedisClusterStore(alias)):
            with pytest.raises(StoreUnavailable):
                step(store, tag)
            assert not store.breaker.is_working
            store.close()
    private.notice_failures()
    alive = private.shards[1][0]
    wait_for(lambda: b"cluster_state:fail" in alive.ask("CLUSTER", "INFO"))
    other = tag_on(private, private.shards[1])
    with pytest.raises(StoreUnavailable, match="cluster is down"):
        calm.versions([other])
    assert not calm.breaker.is_working
    calm.close()
    for step in STEPS.values():
        store = RedisClusterStore(alias)
        with pytest.raises(StoreUnavailable):
            step(store, other)
        assert not store.breaker.is_working
        store.close()


def test_the_nodes_that_answer_are_fenced_while_another_is_down(settings, private):
    """Somebody who reads from these alone finds out later that one is down, or never."""
    dead, *alive = private.shards
    tags = {tag_on(private, shard): shard[0] for shard in alive}
    writer = RedisClusterStore(alias_on(settings, private))
    writer.ping()
    dead[0].kill()
    with pytest.raises(StoreUnavailable):
        writer.fence([tag_on(private, dead), *tags], [], "writer")
    for tag, node in tags.items():
        assert node.ask("GET", f"cluster:1:ci:t:{tag}").startswith(b"!writer@")
    writer.close()


@pytest.mark.parametrize("of_root", [True, False], ids=["with the root", "without the root"])
def test_a_node_restarted_from_an_old_snapshot_serves_nothing_old(settings, private, of_root):
    alias = alias_on(settings, private)
    shard_of_root = private.shard_of(ROOT_SLOT)
    shard = next(shard for shard in private.shards if (shard is shard_of_root) is of_root)
    tag = tag_on(private, shard)
    first, second = RedisClusterStore(alias), RedisClusterStore(alias)
    remember(first, "page", "old", "*", tag)
    assert recall(second, "page", "*", tag) == "old"
    (node,) = shard
    node.ask("SAVE")
    drop(first, tag)
    node.kill()
    node.start()
    private.wait_until_ok()
    assert node.ask("EXISTS", f"cluster:1:ci:t:{tag}") == 1
    for process in (RedisClusterStore(alias), second, first):
        assert recall(process, "page", "*", tag) == MISS
    # They have learnt of it in different ways, and agree.
    remember(second, "page", "new", "*", tag)
    root = first.versions(["*"])
    for process in (first, second, RedisClusterStore(alias)) * 3:
        assert recall(process, "page", "*", tag) == "new"
        assert process.versions(["*"]) == root
        process.close()
    assert first.breaker.outages == second.breaker.outages == 0


def test_a_process_that_only_writes_makes_sure_of_what_it_has_learnt(settings, private):
    alias = alias_on(settings, private)
    shard = next(s for s in private.shards if s is not private.shard_of(ROOT_SLOT))
    tag = tag_on(private, shard)
    reader, writer = RedisClusterStore(alias), RedisClusterStore(alias)
    remember(reader, "page", "old", "*", "a")
    writer.fence([tag], [], "writer")
    shard[0].kill()
    shard[0].start()
    private.wait_until_ok()
    drop(writer, tag, token="writer")
    (root,) = private.shard_of(ROOT_SLOT)
    assert root.ask("EXISTS", "cluster:1:ci:t:*") == 0


def test_a_process_that_does_not_meet_the_restarted_node_hears_of_it_all_the_same(
    settings, private
):
    alias = alias_on(settings, private)
    of_root = private.shard_of(ROOT_SLOT)
    entry, tag = name_on(private, of_root, "e"), name_on(private, of_root, "t")
    first, second = RedisClusterStore(alias), RedisClusterStore(alias)
    remember(first, entry, "old", "*", tag)
    assert recall(second, entry, "*", tag) == "old"
    (other,) = next(shard for shard in private.shards if shard is not of_root)
    other.kill()
    other.start()
    private.wait_until_ok()
    first.ping()
    assert recall(first, entry, "*", tag) == MISS
    remember(first, entry, "new", "*", tag)
    root = first.versions(["*"])
    for process in (second, first) * 3:
        assert recall(process, entry, "*", tag) == "new"
        assert process.versions(["*"]) == root


def test_a_promoted_replica_serves_nothing_old(settings, with_replicas):
    alias = alias_on(settings, with_replicas)
    shard = next(s for s in with_replicas.shards if s is not with_replicas.shard_of(ROOT_SLOT))
    primary, replica = shard
    tag = tag_on(with_replicas, shard)
    first, second = RedisClusterStore(alias), RedisClusterStore(alias)
    remember(first, "page", "old", "*", tag)
    assert recall(second, "page", "*", tag) == "old"
    name = f"cluster:1:ci:t:{tag}"
    version = primary.ask("GET", name)
    wait_for(lambda: replica.ask("DBSIZE") == primary.ask("DBSIZE"))
    cut_off(primary, replica)
    drop(first, tag)
    crash(primary, replica)
    with_replicas.notice_failures()
    wait_for(lambda: replica.ask("ROLE")[0] == b"master")
    with_replicas.wait_until_ok([node for node in with_replicas.nodes if node is not primary])
    assert replica.ask("GET", name) == version
    for process in (RedisClusterStore(alias), second, first):
        assert recall(process, "page", "*", tag) == MISS
    remember(first, "page", "new", "*", tag)
    for process in (first, second, RedisClusterStore(alias)):
        assert recall(process, "page", "*", tag) == "new"
    drop(second, tag)
    assert recall(first, "page", "*", tag) == MISS
    assert first.breaker.outages == second.breaker.outages == 0


def test_a_failover_by_hand_costs_misses_and_no_outage(settings, with_replicas):
    store = get_store(alias_on(settings, with_replicas))
    primary, replica = with_replicas.shard_of(slot_of_tag("a"))
    remember(store, "page", "value", "*", "a")
    replica.ask("CLUSTER", "FAILOVER")
    wait_for(lambda: primary.ask("ROLE")[0] == b"slave")
    with_replicas.wait_until_ok()
    assert recall(store, "page", "*", "a") == MISS
    remember(store, "page", "value", "*", "a")
    assert recall(store, "page", "*", "a") == "value"
    assert store.breaker.outages == 0


def move(cluster: ClusterServers, slot: int, *, to: ValkeyNode) -> Iterator[None]:
    """Move a slot and its keys to another node, in three steps."""
    (source,) = cluster.shard_of(slot)
    to.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", source.ask("CLUSTER", "MYID"))
    source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", to.ask("CLUSTER", "MYID"))
    yield
    for key in source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
        source.ask("MIGRATE", "127.0.0.1", to.port, key, 0, 5000)
    yield
    for node in (to, source):
        node.ask("CLUSTER", "SETSLOT", slot, "NODE", to.ask("CLUSTER", "MYID"))
    yield


def test_a_slot_that_is_being_moved_is_followed(settings, private):
    alias = alias_on(settings, private)
    store, other = RedisClusterStore(alias), RedisClusterStore(alias)
    slot = slot_of_tag("a")
    remember(store, "page", "value", "*", "a")
    other.ping()
    to = next(shard for shard in private.shards if shard is not private.shard_of(slot))[0]
    for _ in move(private, slot, to=to):
        assert recall(store, "page", "*", "a") == "value"
        before = sample(store, "page", "*", "a")
        store.fence(["a", "b"], [], "writer")
        assert recall(other, "page", "*", "a") == MISS
        assert not keep(store, "page", "old", before)
        drop(store, "a", "b", token="writer")
        assert other.versions(["a", "b"]) == {"a": None, "b": None}
        remember(store, "page", "value", "*", "a")
        assert recall(other, "page", "*", "a") == "value"
    assert to.ask("EXISTS", "cluster:1:ci:t:a") == 1
    assert store.breaker.outages == other.breaker.outages == 0


def test_a_cluster_that_nobody_has_set_up_is_an_outage(settings):
    with ValkeyNode(cluster_enabled="yes", cluster_port=free_port()) as node:
        config = {
            "BACKEND": "django_redis.cache.RedisCache",
            "LOCATION": node.url,
            "OPTIONS": {"CLIENT_CLASS": "cache_invalidation.stores.redis.cluster.ClusterClient"},
        }
        store = RedisClusterStore(alias_of(settings, "cluster", config))
        for step in STEPS.values():
            with pytest.raises(StoreUnavailable):
                step(store, "a")
        store.close()


@pytest.mark.parametrize("tags", [["shop.author:1"], ["shop.author", "shop.author:1"]], ids=str)
def test_whoever_finds_a_row_renewed_finds_that_its_conditions_have_gone(settings, cluster, tags):
    store = get_store(alias_on(settings, cluster))
    conditions = ["shop.author:%", "shop.author"]
    before = store.mint(conditions, 60)
    found: list[Any] = []
    fences: Any = RedisClusterStore._fences

    def watched(self: Any, keys: Any, token: str, lasts: float, *again: str) -> Any:
        """Look at the conditions when the first of several keys is lifted."""
        if not lasts:
            found.append(store.versions(conditions))
        return fences(self, keys, token, lasts, *again)

    with mock.patch.object(RedisClusterStore, "_fences", watched):
        store.deliver(Delivery(token="delivery", tags=tags))
    assert found
    assert found[0] != before


def test_a_block_fetches_from_all_nodes_together(settings, cluster):
    settings.CACHE_INVALIDATION = {"CACHE": alias_on(settings, cluster)}

    @cached(tags=["part:{number}"])
    def part(number: int) -> int:
        return number

    def ask() -> list[int]:
        return [part(number) for number in range(10)]

    learn("page", ask)
    with cached_together("page"):
        assert ask() == list(range(10))
    assert fetched() == (9, 0)
