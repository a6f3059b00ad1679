"""Sending to all primaries of a Redis Cluster at once.

redis-py knows which node has which slot. It sends what concerns several nodes as one command after
the other, and tries again for so long that a request cannot wait for it; so sending is done here.
"""

import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import lru_cache, partial
from hashlib import sha1
from typing import Any, Final

from redis.cluster import ClusterNode
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MaxConnectionsError,
    MovedError,
    NoScriptError,
    ReadOnlyError,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError

from cache_invalidation.stores.redis.cluster import as_connection_error, node_at
from cache_invalidation.stores.redis.connection import (
    IDENTIFY,
    MEMORY,
    once,
    scanned,
    text_of,
)
from cache_invalidation.stores.redis.conversing import Command, answer_or_refusal, packed, unrefused
from cache_invalidation.stores.redis.members import Members
from cache_invalidation.stores.redis.server import Server
from cache_invalidation.stores.redis.waiting import taken_from

ATTEMPTS: Final = 8  # to follow slots that are just being moved
PAUSE: Final = 0.02  # seconds between them

_REDIRECTIONS: Final = (AskError, TryAgainError, NoScriptError)  # MOVED is a kind of ASK.
_OUTAGES: Final = (ClusterDownError, ReadOnlyError)
_ASKING: Final = ("ASKING",)

Plan = dict[ClusterNode, list[int]]  # which of the commands each node gets


class Nodes(Members):
    """See `Servers`."""

    def __init__(self, django_redis_client: Any, root: str) -> None:
        super().__init__(django_redis_client)
        self._root = root
        # The identity under which the root version was looked at.
        self._settled = ""

    def ask(self, *command: Any) -> Any:
        return self.look([command])[0][0]

    def ask_all(self, commands: Sequence[Command]) -> list[Any]:
        answers = self._exchange(commands)
        self._settle()
        return answers

    def look(self, commands: Sequence[Command]) -> tuple[list[Any], str]:
        return unrefused(self.ask_all(commands)), self.identity

    def identify(self, root: str) -> str:
        self._refresh()
        self._introduce(list(self._primaries.values()))
        self._drop_foreign(root, self.identity)
        return self.identity

    def scan(self, match: str, count: int) -> Iterator[bytes]:
        self._cluster()
        for node in list(self._primaries.values()):
            yield from scanned(partial(self._ask_node, node), match, count)

    def _ask_node(self, node: ClusterNode, *command: Any) -> Any:
        return self._ask_nodes([node], [command])[0]

    def subscription(self) -> Any:
        raise NotImplementedError("nobody holds anything of a cluster")

    def ping(self) -> None:
        self._cluster()
        self._refresh()
        self._ask_nodes(list(self._primaries.values()), [("PING",)])
        self._settle()

    def probe(self) -> Server:
        self._limits = once()
        with suppress(RedisError, OSError):
            self._cluster()
            # They are set up alike.
            some = list(self._primaries.values())[:1]
            memory = self._ask_nodes(some, [MEMORY])
            self._newest.learn_memory(text_of(memory))
        self.close()
        return self._newest

    def _settle(self) -> None:
        """Make sure that the root version is not one from before what has just been learnt."""
        if self._identity is None or self._identity != self._settled:
            identity = self.identity
            self._drop_foreign(self._root, identity)
            self._settled = identity

    def _drop_foreign(self, root: str, identity: str) -> None:
        if identity:
            self._exchange([("EVAL", IDENTIFY, 1, root, identity)])

    # Sending

    def _exchange(self, commands: Sequence[Command]) -> list[Any]:
        """Send each command to the node that has its key; return the answers, refusals as well."""
        try:
            return self._follow(commands)
        except MaxConnectionsError:
            raise
        except RedisConnectionError:
            # The node closed the connection, or it has a successor.
            self._is_outdated = True
        except (RedisError, OSError):
            self._is_outdated = True
            raise
        try:
            return self._follow(commands)
        except (RedisError, OSError):
            self._is_outdated = True
            raise

    def _follow(self, commands: Sequence[Command]) -> list[Any]:
        """Send commands to where the answers say they belong."""
        cluster = self._cluster()
        answers: list[Any] = [None] * len(commands)
        plan = self._plan(cluster, commands, range(len(commands)))
        self._send(cluster, plan, commands, answers, are_short=True)
        for _ in range(ATTEMPTS):
            astray = [n for n, answer in enumerate(answers) if isinstance(answer, _REDIRECTIONS)]
            if not astray:
                break
            if any(isinstance(answers[n], MovedError) for n in astray):
                self._refresh()
            elif any(isinstance(answers[n], TryAgainError) for n in astray):
                time.sleep(PAUSE)
            asked = [n for n in astray if type(answers[n]) is AskError]
            plan = self._plan(cluster, commands, [n for n in astray if n not in asked])
            self._send(cluster, plan, commands, answers)
            for n in asked:
                host, port = answers[n].host, answers[n].port
                node = cluster.get_node(host, port) or node_at(host, port)
                _, answers[n] = self._ask_nodes([node], [_ASKING, commands[n]], keep_refusals=True)
        for answer in answers:
            if isinstance(answer, (*_OUTAGES, AskError)):
                raise RedisConnectionError(str(answer)) from answer
        return answers

    def _plan(self, cluster: Any, commands: Sequence[Command], positions: Iterable[int]) -> Plan:
        plan: Plan = {}
        for position in positions:
            command = commands[position]
            slot = slot_of(command[3] if command[0] == "EVAL" else command[1])
            with as_connection_error():
                node = cluster.nodes_manager.get_node_from_slot(slot)
            plan.setdefault(node, []).append(position)
        return plan

    def _send(
        self,
        cluster: Any,
        plan: Plan,
        commands: Sequence[Command],
        answers: list[Any],
        *,
        are_short: bool = False,
    ) -> None:
        """Send to all nodes at once; put the answers in their places.

        If one fails, the others do what they are told all the same: a reader who needs none of what
        is on that node may never find out, and has to see a fence.
        """
        taken: list[tuple[Any, Any, list[int]]] = []
        failures: list[Exception] = []
        try:
            for node, positions in plan.items():
                pool = cluster.get_redis_connection(node).connection_pool
                with _noted(failures):
                    taken.append((pool, taken_from(pool), positions))
            for _, connection, positions in taken:
                mine = [commands[position] for position in positions]
                sent = packed(connection, shortened(mine) if are_short else mine)
                with _noted(failures, connection):
                    connection.send_packed_command(sent)
            for _, connection, positions in taken:
                if connection.is_connected:
                    with _noted(failures, connection):
                        for position in positions:
                            answers[position] = answer_or_refusal(connection)
        except BaseException:
            for _, connection, _ in taken:
                connection.disconnect()
            raise
        finally:
            for pool, connection, _ in taken:
                pool.release(connection)
        if failures:
            raise failures[0]


@contextmanager
def _noted(failures: list[Exception], connection: Any = None) -> Iterator[None]:
    """Add what is raised to `failures`, and close the connection that it comes from."""
    try:
        yield
    except (RedisError, OSError) as error:
        failures.append(error)
        if connection is not None:
            connection.disconnect()


def slot_of(key: str | bytes) -> int:
    return int(key_slot(key.encode() if isinstance(key, str) else key))


def shortened(commands: Iterable[Command]) -> Iterator[Command]:
    """Send each script once: the server knows it by its digest when it gets to the next one."""
    sent: set[str] = set()
    for command in commands:
        if command[0] != "EVAL" or command[1] not in sent:
            if command[0] == "EVAL":
                sent.add(command[1])
            yield command
        else:
            yield ("EVALSHA", _digest_of(command[1]), *command[2:])


@lru_cache
def _digest_of(script: str) -> str:
    return sha1(script.encode(), usedforsecurity=False).hexdigest()
