"""Redis Cluster for `django-redis`, which has no client of its own for it.

.. code-block:: python

    "OPTIONS": {"CLIENT_CLASS": "cache_invalidation.stores.redis.cluster.ClusterClient"}

``LOCATION`` names one node or several, through which the others are found.
"""

import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import islice
from threading import Lock
from typing import Any, Final

from django.core.cache.backends.base import DEFAULT_TIMEOUT
from django_redis.client import DefaultClient
from django_redis.exceptions import ConnectionInterrupted
from django_redis.pool import ConnectionFactory
from redis.backoff import NoBackoff
from redis.cluster import ClusterNode, RedisCluster
from redis.connection import parse_url
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisClusterException, RedisError
from redis.retry import Retry

CHUNK: Final = 1000  # keys in one pipeline


class Cluster(RedisCluster):
    """A client that raises what clients of a single server raise."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        with as_connection_error():
            super().__init__(*args, **kwargs)

    def execute_command(self, *args: Any, **kwargs: Any) -> Any:
        with as_connection_error():
            return super().execute_command(*args, **kwargs)  # type: ignore[no-untyped-call]


def node_at(host: str, port: int) -> ClusterNode:
    return ClusterNode(host, port)  # type: ignore[no-untyped-call]


def _address(url: str) -> dict[str, Any]:
    options: dict[str, Any] = parse_url(url)  # type: ignore[no-untyped-call]
    return {"host": options.get("host", "localhost"), "port": options.get("port", 6379)}


@contextmanager
def as_connection_error() -> Iterator[None]:
    """Raise as an error of the connection what redis-py has an exception of its own for.

    It raises an `IndexError` for a cluster in which nobody has any slots.
    """
    try:
        yield
    except (RedisClusterException, IndexError) as error:
        raise RedisConnectionError(str(error)) from error


class ClusterConnectionFactory(ConnectionFactory):
    """Makes clients of a cluster: ``CONNECTION_FACTORY`` of an alias with `ClusterClient`.

    ``CONNECTION_POOL_KWARGS`` are arguments of the connections, ``REDIS_CLIENT_KWARGS`` those of
    `redis.cluster.RedisCluster`. Threads share one client.
    """

    _clusters: dict[str, Cluster] = {}
    _lock = Lock()

    def connect_to(self, urls: Sequence[str]) -> Cluster:
        """Return the client of the cluster to which the nodes at `urls` belong."""
        options = self.options_for(urls)
        key = repr((*urls, sorted(options.items())))
        with self._lock:
            if key not in self._clusters:
                self._clusters[key] = self.make_cluster(urls, options)
            return self._clusters[key]

    def make_cluster(self, urls: Sequence[str], options: Mapping[str, Any]) -> Cluster:
        """Return a new client; raise an error of redis-py if no node answers."""
        others = [node_at(**_address(url)) for url in urls[1:]]
        # A node that does not answer may have a successor, which the second try finds.
        options = {"retry": Retry(NoBackoff(), 1), **options}
        return Cluster(url=urls[0], startup_nodes=others, **options)

    def options_for(self, urls: Sequence[str]) -> dict[str, Any]:
        """Return what the alias says about a client of the cluster."""
        params = self.make_connection_params(urls[0])
        del params["url"]
        return {**params, **self.pool_cls_kwargs, **self.redis_client_cls_kwargs}

    def connect(self, url: str) -> Any:
        return self.connect_to([url])

    def disconnect(self, connection: Any) -> None:
        connection.disconnect_connection_pools()

    @classmethod
    def after_fork(cls) -> None:
        """Go on in the child of a fork, where no other thread is left to give back the lock."""
        cls._lock = Lock()


os.register_at_fork(after_in_child=ClusterConnectionFactory.after_fork)


class ClusterClient(DefaultClient):
    """``CLIENT_CLASS`` of an alias on a cluster.

    What concerns several keys, which are on several nodes, is done for all of them. Whatever has
    to be atomic over several keys needs a hash tag in their names.
    """

    def __init__(self, server: Any, params: dict[str, Any], backend: Any) -> None:
        factory = f"{ClusterConnectionFactory.__module__}.{ClusterConnectionFactory.__qualname__}"
        options = {"CONNECTION_FACTORY": factory, **params.get("OPTIONS", {})}
        super().__init__(server, {**params, "OPTIONS": options}, backend)
        # The nodes of LOCATION are one cluster, and not a primary with its replicas.
        self._clients = [None]

    def get_next_client_index(self, write: bool = True, tried: list[int] | None = None) -> int:
        return 0

    def connect(self, index: int = 0) -> Any:
        factory: Any = self.connection_factory
        with _interrupted():
            return factory.connect_to(self._server)

    def get_many(
        self, keys: Collection[str], version: int | None = None, client: Any = None
    ) -> dict[str, Any]:
        names = {self.make_key(key, version=version): key for key in keys}
        if not names:
            return {}
        with _interrupted():
            cluster: Any = client or self.get_client(write=False)
            values = cluster.mget_nonatomic(list(names))
        found = zip(names.values(), values, strict=True)
        return {key: self.decode(value) for key, value in found if value is not None}

    def set_many(
        self,
        data: dict[str, Any],
        timeout: float | None = DEFAULT_TIMEOUT,
        version: int | None = None,
        client: Any = None,
    ) -> None:
        with _interrupted():
            super().set_many(data, timeout, version=version, client=client)

    def delete_many(
        self, keys: Iterable[str], version: int | None = None, client: Any = None
    ) -> int:
        with _interrupted():
            return self._delete((self.make_key(key, version=version) for key in keys), client)

    def delete_pattern(
        self,
        pattern: str,
        version: int | None = None,
        prefix: str | None = None,
        client: Any = None,
        itersize: int | None = None,
    ) -> int:
        match = self.make_pattern(pattern, version=version, prefix=prefix)
        with _interrupted():
            client = client or self.get_client(write=True)
            return self._delete(client.scan_iter(match=match, count=itersize), client)

    def _delete(self, names: Iterable[Any], client: Any) -> int:
        deleted, names = 0, iter(names)
        while chunk := list(islice(names, CHUNK)):
            deleted += (client or self.get_client(write=True)).delete(*chunk)
        return deleted

    def keys(self, search: str, version: int | None = None, client: Any = None) -> list[Any]:
        return list(self.iter_keys(search, CHUNK, client, version))

    def iter_keys(
        self,
        search: str,
        itersize: int | None = None,
        client: Any = None,
        version: int | None = None,
    ) -> Iterator[Any]:
        with _interrupted():
            yield from super().iter_keys(search, itersize, client, version)


@contextmanager
def _interrupted() -> Iterator[None]:
    """Raise what `django-redis` takes for a cache that is down, and can be told to ignore."""
    try:
        with as_connection_error():
            yield
    except RedisError as error:
        raise ConnectionInterrupted(connection=None) from error
