"""Connections that know which server they lead to.

A server that was restarted from a snapshot, or a replica that was promoted, may hold versions and
entries from before an invalidation that it never saw. So the root version carries the ``run_id`` of
the server under which it was minted, and each new connection, before anybody uses it, drops a root
version that another server minted. That makes every entry invalid at once.
"""

import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError, ResponseError
from redis.retry import Retry

logger = logging.getLogger("cache_invalidation")

Command = tuple[Any, ...]


def without_comments(script: Path) -> str:
    """Return the text of a Lua script for the server, which gets and hashes it at each call."""
    lines = script.read_text().splitlines(keepends=True)
    return "".join(line for line in lines if not line.lstrip().startswith("--"))


_IDENTIFY = without_comments(Path(__file__).parent / "lua" / "identify.lua")
MINIMUM = {"redis": (7, 0), "valkey": (7, 2)}


@dataclass(slots=True)
class Server:
    """The server behind a store, as the newest connection found it; `root` is a key's full name."""

    root: str
    run_id: str = ""
    product: str = ""
    version: tuple[int, ...] = ()

    @property
    def problem(self) -> str | None:
        """Why this server cannot be used, or None if it can."""
        if not self.product or self.version >= MINIMUM[self.product]:
            return None
        found = f"{self.product.title()} {'.'.join(map(str, self.version))}"
        return f"Redis 7.0 or Valkey 7.2 is needed, or newer; the server is {found}"

    def learn(self, info: str) -> None:
        """Take over what the server says of itself in ``INFO server``."""
        facts = dict(line.split(":", 1) for line in info.splitlines() if ":" in line)
        self.product = "valkey" if "valkey_version" in facts else "redis"
        version = facts.get(f"{self.product}_version", "")
        self.version = tuple(map(int, re.findall(r"\d+", version)[:3]))
        # 64 of its 160 bits are enough to tell two servers apart.
        self.run_id = facts.get("run_id", "")[:16]


def connect(django_redis_client: Any, server: Server) -> "Redis":
    """Return a client of the alias's primary whose connections are checked before they are used.

    It has a pool of its own, made by the alias's connection factory: connections that exist
    already cannot be checked, and a cache that is down must not be waited for more than once.
    """
    factory = django_redis_client.connection_factory
    primary = django_redis_client._server[0]
    pool = factory.get_connection_pool(factory.make_connection_params(primary))
    options = pool.connection_kwargs
    options["redis_connect_func"] = _check(server, options.get("redis_connect_func"))
    options["decode_responses"] = False
    # A connection that the server closed while it lay in the pool deserves a second one; a
    # time-out does not deserve a second time-out.
    options.setdefault("retry", Retry(NoBackoff(), 1, supported_errors=(RedisConnectionError,)))
    client: Redis = factory.redis_client_cls(
        connection_pool=pool, **factory.redis_client_cls_kwargs
    )
    return client


def _check(server: Server, project_hook: Callable[[Any], None] | None) -> Callable[[Any], None]:
    def on_connect(connection: Any) -> None:
        if project_hook is None:
            connection.on_connect()
        else:
            project_hook(connection)
        try:
            server.learn(_ask(connection, "INFO", "server"))
        except ResponseError as error:
            logger.warning(
                "INFO is refused (%s), so a restarted or promoted cache server goes unnoticed; "
                "allow it for this user.",
                error,
            )
            return
        if server.problem:
            raise RedisConnectionError(server.problem)
        if server.run_id:
            _ask(connection, "EVAL", _IDENTIFY, 1, server.root, server.run_id)

    return on_connect


def _ask(connection: Any, *command: Any) -> str:
    connection.send_command(*command, check_health=False)
    answer = connection.read_response()
    return answer.decode() if isinstance(answer, bytes) else str(answer)


def probe(django_redis_client: Any, root: str) -> Server:
    """Return what the server says of itself, within about a second; all of it empty if it is down.

    Used by system checks, which every management command waits for.
    """
    server = Server(root=root)
    client: Any = connect(django_redis_client, server)
    options = client.connection_pool.connection_kwargs
    options.update(socket_timeout=1, socket_connect_timeout=1, retry=Retry(NoBackoff(), 0))
    try:
        client.execute_command("PING")
    except (RedisError, OSError):
        return server
    finally:
        client.connection_pool.disconnect()
    return server


def ask(client: Any, *command: Any) -> Any:
    """Send one command and return the answer, without what the client adds to it.

    Its bookkeeping for tracing and maintenance takes as long as the command itself.
    """
    try:
        return _exchange(client, [command])[0]
    except RedisConnectionError:
        # The server had closed this connection; the client's own way includes a second try.
        return client.execute_command(*command)


def ask_all(client: Any, commands: Sequence[Command]) -> list[Any]:
    """Send commands in one round trip; return the answers, refusals among them."""
    try:
        return _exchange(client, commands, keep_refusals=True)
    except RedisConnectionError:
        pipeline = client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        answers: list[Any] = pipeline.execute(raise_on_error=False)
        return answers


def _exchange(client: Any, commands: Sequence[Command], keep_refusals: bool = False) -> list[Any]:
    pool = client.connection_pool
    connection = pool.get_connection()
    try:
        connection.send_packed_command(connection.pack_commands(commands))
        if keep_refusals:
            return [_answer_or_refusal(connection) for _ in commands]
        return [connection.read_response() for _ in commands]
    except ResponseError:
        raise
    except BaseException:
        # An answer that nobody has read would be taken for that of the next command.
        connection.disconnect()
        raise
    finally:
        pool.release(connection)


def _answer_or_refusal(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        return error
