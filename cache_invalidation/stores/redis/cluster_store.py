"""Entries and versions in a Redis Cluster, where every key may be on another node.

What a store promises needs no more than one key at a time to change in one step:

- A lookup reads each version after the call has begun. One that is the same as in the entry was
  not dropped before that, and versions never come back.
- An entry that is stored under a version which has just been dropped is not valid, and never will
  be. It may have replaced a valid one, which costs a miss. That the entry itself was invalidated is
  seen from its mark, which is compared like a version.
- A version that is only a condition for storing an entry is compared before the entry is stored.
  What is dropped together with it stands under a fence then, or has been dropped before.
- Every fence stands before COMMIT, or the call fails. Then it stands on the nodes that answer, and
  who needs one of the others cannot read.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from django.core.cache import caches

from cache_invalidation.stores.guarding import guarded
from cache_invalidation.stores.messages import Condition, Delivery, Filling
from cache_invalidation.stores.redis.cluster import ClusterClient, ClusterConnectionFactory
from cache_invalidation.stores.redis.connection import Servers
from cache_invalidation.stores.redis.conversing import Command
from cache_invalidation.stores.redis.counters import ERRORS
from cache_invalidation.stores.redis.entries import pack
from cache_invalidation.stores.redis.nodes import Nodes
from cache_invalidation.stores.redis.scripts import lives_of, script
from cache_invalidation.stores.redis.store import RedisStore
from cache_invalidation.tags import ROOT, with_rows_alone


def store_of(alias: str) -> RedisStore:
    """Return the store for an alias of `django-redis`."""
    backend: Any = caches.create_connection(alias)
    if isinstance(backend.client.connection_factory, ClusterConnectionFactory):
        return RedisClusterStore(alias)
    return RedisStore(alias)


class RedisClusterStore(RedisStore):
    """A cluster of Redis 7.0 or Valkey 7.2, or newer. Only primaries are asked."""

    _scripts_find_keys = False
    finds_holders = False  # Neither what they keep of a key, nor they themselves, are on its node.

    def _connect(self) -> Servers:
        return Nodes(self._codec, self.version_key(ROOT))

    def condition(self) -> Condition:
        if not isinstance(self._codec, ClusterClient):
            needed = f"{ClusterClient.__module__}.ClusterClient"
            return Condition(problem=f"a cluster needs the CLIENT_CLASS {needed}")
        return self._connect().probe().condition

    def _values(self, names: Sequence[str]) -> tuple[list[bytes | None], str]:
        answers, identity = self._servers.look(self._getting(names))
        return [value for (value,) in answers], identity

    def _getting(self, names: Sequence[str]) -> list[Command]:
        # Not GET, which refuses what somebody else has put there.
        return [("MGET", name) for name in names]

    def _together(self, keys: Sequence[Any]) -> Iterable[Sequence[Any]]:
        # Not by slot: while a slot is being moved, some of its keys are here and some are there.
        return [(key,) for key in keys]

    @guarded(*ERRORS, urgent=True)
    def deliver(self, delivery: Delivery) -> bool:
        if not delivery.is_fenced and len(with_rows_alone(delivery.tags)) > 1:
            # Somebody who finds one of them renewed must find that the others have gone.
            self.fence(delivery.tags, [], delivery.token)
        return super().deliver(delivery)

    @guarded(*ERRORS)
    def fill(self, filling: Filling) -> bool:
        lives = lives_of(filling.timeout)
        expected = self._expected(filling)
        extensions = [script("extend", [key], value, *lives) for key, value in expected.items()]
        if not all(self._answers(extensions)):
            return False
        command = script("fill", [filling.entry], pack(filling), *lives, "")
        return bool(self._servers.ask(*command))
