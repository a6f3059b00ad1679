"""Connections that know which server they lead to. See `cache_invalidation.stores.redis.server`."""

import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import partial
from math import inf
from pathlib import Path
from typing import Any, Final, Protocol
from weakref import WeakSet

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MaxConnectionsError, ReadOnlyError, RedisError, ResponseError
from redis.retry import Retry

from cache_invalidation.forking import stay_behind
from cache_invalidation.stores.redis.conversing import Command, converse
from cache_invalidation.stores.redis.server import Server
from cache_invalidation.stores.redis.waiting import Waiting

logger = logging.getLogger("cache_invalidation")

# Seconds, where the project does not say. A server that hangs must not hold up a COMMIT.
TIME_LIMITS: Final = {"socket_timeout": 1.0, "socket_connect_timeout": 1.0}

INTRODUCTION: Final[Sequence[Command]] = (("INFO", "server"), ("INFO", "replication"))
MEMORY: Final[Command] = ("INFO", "memory")


def without_comments(script: Path) -> str:
    """Return the text of a Lua script for the server, which gets and hashes it at each call."""
    lines = map(str.lstrip, script.read_text().splitlines(keepends=True))
    return "".join(line for line in lines if not line.startswith("--"))


_LUA = Path(__file__).parent / "lua"
IDENTIFY = without_comments(_LUA / "young.lua") + without_comments(_LUA / "identify.lua")


def once() -> dict[str, Any]:
    """Return options of connections over which one question is asked once, and not for long."""
    return {**TIME_LIMITS, "retry": Retry(NoBackoff(), 0)}


def seconds_of(limit: Any) -> float:
    """Return a time-out of redis-py, where None stands for none, as a number of seconds."""
    return inf if limit is None else float(limit)


class Servers(Protocol):
    """Whatever is behind an alias, as a store talks to it.

    Failures are errors of redis-py other than `ResponseError`, or an `OSError`; what a server
    refuses is a `ResponseError`.
    """

    @property
    def identity(self) -> str:
        """The newest identity known; "" if it may not be asked."""

    @property
    def longest_wait(self) -> float:
        """Seconds that an answer is waited for at most."""

    @property
    def longest_ask(self) -> float:
        """Seconds that `ping` takes at most."""

    def ask(self, *command: Any) -> Any:
        """Send one command and return the answer."""

    def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands in one round trip; return the answers, refusals among them."""

    def look(self, commands: Sequence[Command]) -> tuple[list[Any], str]:
        """Return the answers, and the identity of who gave them; raise what was refused."""

    def identify(self, root: str) -> str:
        """Ask anew for the identity; drop the version `root` unless it was minted under it."""

    def scan(self, match: str, count: int) -> Iterator[bytes]:
        """Iterate over the names of all keys that match, some of them perhaps twice."""

    def ping(self) -> None:
        """Ask every server for something."""

    def subscription(self) -> Any:
        """Return a connection of redis-py that listens to channels."""

    def probe(self) -> Server:
        """Return what a server says of itself, within seconds; nothing if it is down."""

    def close(self) -> None:
        """Close all connections; the next use opens new ones."""


class Primary:
    """One server: that of the alias, or whichever Sentinel says is the primary."""

    def __init__(self, django_redis_client: Any, root: str, near: str = "") -> None:
        self._django_redis_client = django_redis_client
        self._near = near
        self._pool: Any = _client(django_redis_client).connection_pool
        self._waiting = Waiting(self._pool)
        self._root = root
        self._newest = Server()
        self._is_introduced = False
        self._era = 0  # Of how many servers it has turned out that they were demoted.
        options = self._pool.connection_kwargs
        options["redis_connect_func"] = self._introduced(options["redis_connect_func"])

    @property
    def identity(self) -> str:
        if not self._is_introduced:
            self.ping()  # What is said first in a process must not be said without it.
        return self._newest.identity

    @property
    def longest_wait(self) -> float:
        return seconds_of(self._pool.connection_kwargs["socket_timeout"])

    @property
    def longest_ask(self) -> float:
        # Each Sentinel may be asked in vain who the primary is.
        sentinels = getattr(getattr(self._pool, "sentinel_manager", None), "sentinels", ())
        asked = [sentinel.connection_pool.connection_kwargs for sentinel in sentinels]
        return self.longest_wait + sum(seconds_of(each.get("socket_timeout")) for each in asked)

    def ask(self, *command: Any) -> Any:
        answers, _ = self._exchange((command,))
        return answers[0]

    def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        return self._exchange(commands, keep_refusals=True)[0]

    def look(self, commands: Sequence[Command]) -> tuple[list[Any], str]:
        answers, server = self._exchange(commands)
        return answers, server.identity

    def identify(self, root: str) -> str:
        answers, server = self._exchange(INTRODUCTION)
        server.learn(text_of(answers))
        self._newest = server
        self.ask("EVAL", IDENTIFY, 1, root, server.identity, self._near)
        return server.identity

    def scan(self, match: str, count: int) -> Iterator[bytes]:
        return scanned(self.ask, match, count)

    def ping(self) -> None:
        self.ask("PING")

    def subscription(self) -> Any:
        """Return a connection that others publish to, as redis-py has it."""
        # Of a pool of its own: it is in use for as long as somebody listens.
        client: Any = _client(self._django_redis_client)  # What it returns has no types.
        return client.pubsub(ignore_subscribe_messages=True)

    def probe(self) -> Server:
        self._pool.connection_kwargs.update(once())
        try:
            memory = self.ask(*MEMORY)
            self._newest.learn_memory(text_of([memory]))
        except (RedisError, OSError):
            pass
        finally:
            self.close()
        return self._newest

    def close(self) -> None:
        self._waiting.distrust()
        self._pool.disconnect()

    def _introduced(self, sets_up: Callable[[Any], None]) -> Callable[[Any], None]:
        """Return what sets up a connection, and finds out where it leads before it is used."""

        def on_connect(connection: Any) -> None:
            sets_up(connection)
            self._newest = connection.cache_invalidation = server = introduce(connection)
            self._is_introduced = True
            if server.problem:
                raise RedisConnectionError(server.problem)
            if server.identity:
                command = "EVAL", IDENTIFY, 1, self._root, server.identity, self._near
                converse(connection, [command], is_new=True)

        return on_connect

    # redis-py's own ways of sending take as long for tracing as the command itself.

    def _exchange(
        self, commands: Sequence[Command], *, keep_refusals: bool = False
    ) -> tuple[list[Any], Server]:
        pid = os.getpid()
        try:
            return self._exchange_once(commands, keep_refusals)
        except MaxConnectionsError:
            raise
        except ReadOnlyError:
            # A primary no longer. Other connections lead there as well: those that are in use now
            # are closed when they are given back.
            self._era += 1
            self._waiting.distrust()
            self._pool.disconnect(inuse_connections=False)
        except RedisConnectionError:
            stay_behind(pid)  # The parent has asked, and hears the answer.
            self._waiting.distrust()  # The server had closed this connection.
        try:
            return self._exchange_once(commands, keep_refusals, checked=True)
        except ReadOnlyError as error:
            raise RedisConnectionError(f"The server is a replica ({error})") from error

    def _exchange_once(
        self, commands: Sequence[Command], keep_refusals: bool, *, checked: bool = False
    ) -> tuple[list[Any], Server]:
        era = self._era
        connection = self._waiting.take(checked=checked)
        try:
            return converse(connection, commands, keep_refusals), connection.cache_invalidation
        finally:
            if era != self._era:
                connection.disconnect()
            self._waiting.give_back(connection)


def _client(django_redis_client: Any) -> "Redis":
    """Return a client of the alias's primary, with a pool that nobody else uses.

    It is made by the alias's connection factory. Connections that exist already cannot be checked,
    and a cache that is down must not be waited for more than once.
    """
    factory = django_redis_client.connection_factory
    primary = django_redis_client._server[0]
    pool = factory.get_connection_pool(factory.make_connection_params(primary))
    options = pool.connection_kwargs
    for name, limit in TIME_LIMITS.items():
        options.setdefault(name, limit)
    options["decode_responses"] = False
    # A connection that the server closed while it lay in the pool deserves a second one; a
    # time-out does not deserve a second time-out.
    options.setdefault("retry", Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)))
    if sentinels := getattr(pool, "sentinel_manager", None):
        _limit_sentinels(sentinels)
    options["redis_connect_func"] = partial(_set_up, hook=options.get("redis_connect_func"))
    client: Redis = factory.redis_client_cls(
        connection_pool=pool, **factory.redis_client_cls_kwargs
    )
    return client


def _limit_sentinels(manager: Any) -> None:
    """Ask each Sentinel once, and not for long: there are others."""
    limits = {n: limit for n, limit in once().items() if n not in manager.sentinel_kwargs}
    for sentinel in manager.sentinels:
        sentinel.connection_pool.connection_kwargs.update(limits)


#: Connections that there may be.
opened: "WeakSet[Any]" = WeakSet()


def _after_fork() -> None:
    # With gevent, the child has the greenlets that wait for an answer, and would take it away from
    # its parent. redis-py closes the copies that the child has, and nothing else.
    for connection in list(opened):
        with suppress(Exception):
            connection.disconnect()


os.register_at_fork(after_in_child=_after_fork)


def _set_up(connection: Any, hook: Callable[[Any], None] | None) -> None:
    """Set up a new connection, as a `hook` of the project does if there is one."""
    opened.add(connection)
    if hook is None:
        connection.on_connect()
    else:
        hook(connection)


def introduce(connection: Any) -> Server:
    """Return what the server behind a new connection says of itself."""
    server = Server()
    try:
        server.learn(text_of(converse(connection, INTRODUCTION, is_new=True)))
    except ResponseError as error:
        logger.warning(
            "INFO is refused (%s), so a restarted or promoted cache server goes unnoticed; "
            "allow it for this user.",
            error,
        )
    else:
        if not server.identity:
            logger.warning(
                "INFO has neither run_id nor master_replid, so a restarted or promoted cache "
                "server goes unnoticed."
            )
    return server


def text_of(answers: Sequence[Any]) -> str:
    return "\n".join(a.decode() if isinstance(a, bytes) else str(a) for a in answers)


def scanned(ask: Callable[..., Any], match: str, count: int) -> Iterator[bytes]:
    """Iterate over the names of all keys of the one server that `ask` asks."""
    cursor = 0
    while True:
        answer, names = ask("SCAN", cursor, "MATCH", match, "COUNT", count)
        yield from names
        cursor = int(answer)
        if not cursor:
            return
