"""Who is in a Redis Cluster, as far as this process knows.

The identity of a cluster is the digest of those of all its primaries. It changes when one of them
was restarted or replaced, and when slots get a primary more or less. A process learns the identity
of a node with each connection to it, before that is used. Two processes may for a while know
different nodes. Whoever finds a root version of another identity than its own asks all nodes anew,
and drops that version if it still differs; from then on both know the same.
"""

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from threading import RLock
from typing import Any

from redis.cluster import ClusterNode, get_node_name
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError

from cache_invalidation.stores.redis.cluster import as_connection_error
from cache_invalidation.stores.redis.connection import (
    INTRODUCTION,
    TIME_LIMITS,
    introduce,
    opened,
    seconds_of,
    text_of,
)
from cache_invalidation.stores.redis.conversing import Command, converse
from cache_invalidation.stores.redis.server import Server, digest
from cache_invalidation.stores.redis.waiting import taken_from


class Members:
    """The primaries of a cluster, and connections to them that nobody else uses."""

    def __init__(self, django_redis_client: Any) -> None:
        self._factory = django_redis_client.connection_factory
        self._urls = django_redis_client._server
        self._limits: dict[str, Any] = {}
        self._lock = RLock()
        self._client: Any = None  # A `RedisCluster`.
        # Has something failed that a look at the slots may explain?
        self._is_outdated = False
        self._newest = Server()
        self._primaries: dict[str, ClusterNode] = {}
        # The identities of nodes, by name, and the digest of those of all primaries.
        self._known: dict[str, str] = {}
        self._identity: str | None = None

    @property
    def identity(self) -> str:
        while (identity := self._identity) is None:
            unknown = [n for name, n in self._primaries.items() if name not in self._known]
            self._introduce(unknown)
            with self._lock:
                if self._primaries and self._known.keys() >= self._primaries.keys():
                    known = [self._known[name] for name in self._primaries]
                    self._identity = digest(*sorted(known)) if all(known) else ""
        return identity

    @property
    def longest_wait(self) -> float:
        return seconds_of(self._options()["socket_timeout"])

    @property
    def longest_ask(self) -> float:
        # Each node may be asked in vain who has which slots, and then one of them for something.
        return self.longest_wait * (1 + max(len(self._urls), len(self._primaries)))

    def close(self) -> None:
        with self._lock:
            if self._client is not None:
                self._client.disconnect_connection_pools()
            self._client = None

    def _cluster(self) -> Any:
        """Return the client that knows the slots; what it knows is renewed after a failure."""
        with self._lock:
            if self._client is None:
                self._client = self._factory.make_cluster(self._urls, self._options())
                self._take_over_primaries(self._client)
            client, is_outdated = self._client, self._is_outdated
        if is_outdated:
            self._refresh()
        return client

    def _options(self) -> dict[str, Any]:
        options = TIME_LIMITS | self._factory.options_for(self._urls) | self._limits
        # A node that was demoted must not answer as a replica.
        for name in ("read_from_replicas", "load_balancing_strategy"):
            options.pop(name, None)
        hook = self._introduced(options.get("redis_connect_func"))
        return {**options, "redis_connect_func": hook, "require_full_coverage": False}

    def _refresh(self) -> None:
        """Ask a node who has which slots."""
        with self._lock:
            client = self._client
        if client is None:
            self._cluster()
            return
        with as_connection_error():
            client.nodes_manager.initialize()
        self._take_over_primaries(client)

    def _take_over_primaries(self, client: Any) -> None:
        slots = client.nodes_manager.slots_cache.values()
        primaries = {nodes[0].name: nodes[0] for nodes in slots}
        with self._lock:
            # One that was promoted is another server than it was as a replica, or before that.
            for name in self._known.keys() - (self._primaries.keys() & primaries.keys()):
                del self._known[name]
            if primaries.keys() != self._primaries.keys():
                self._identity = None
            self._primaries, self._is_outdated = primaries, False

    def _introduced(self, project_hook: Callable[[Any], None] | None) -> Callable[[Any], None]:
        def on_connect(connection: Any) -> None:
            opened.add(connection)
            if project_hook is not None:
                project_hook(connection)
            self._newest = server = introduce(connection)
            if server.problem:
                raise RedisConnectionError(server.problem)
            self._know(get_node_name(connection.host, connection.port), server)

        return on_connect

    def _introduce(self, nodes: Iterable[ClusterNode]) -> None:
        self._cluster()
        for node in nodes:
            server = Server()
            with suppress(ResponseError):  # That was logged when the node was connected to.
                server.learn(text_of(self._ask_nodes([node], INTRODUCTION)))
            self._know(node.name, server)

    def _know(self, name: str, server: Server) -> None:
        with self._lock:
            if self._known.get(name) != server.identity:
                self._known[name] = server.identity
                self._identity = None

    def _ask_nodes(
        self,
        nodes: Iterable[ClusterNode],
        commands: Sequence[Command],
        *,
        keep_refusals: bool = False,
    ) -> list[Any]:
        """Send the same commands to each of `nodes`, one after the other."""
        answers: list[Any] = []
        for node in nodes:
            pool = self._cluster().get_redis_connection(node).connection_pool
            try:
                connection = taken_from(pool)
                try:
                    answers += converse(connection, commands, keep_refusals)
                finally:
                    pool.release(connection)
            except (RedisError, OSError):
                self._is_outdated = True
                raise
        return answers
