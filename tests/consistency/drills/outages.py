"""Faults of the cache server, while processes read and write."""

import shutil
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count, islice
from pathlib import Path
from typing import Final

import redis

from example_project.servers import ValkeyServer
from tests.consistency.drills.stage import Stage
from tests.stores.steps import PATIENCE

QUEUE: Final = 4  # connections that the server in the black hole has not accepted yet
ROOM: Final = 500_000  # bytes that are left where memory is short
NEIGHBOUR: Final = bytes(2_000)


def client(server: ValkeyServer) -> redis.Redis:
    """Return a client that has nothing to do with the site."""
    return redis.Redis.from_url(server.url, socket_timeout=PATIENCE)


def killed(stage: Stage, server: ValkeyServer) -> None:
    """Killed, and started anew with nothing in it."""
    for _ in range(stage.pace.rounds):
        server.kill()
        stage.go_on(stage.pace.fault / stage.pace.rounds)
        server.start()


def old_snapshot(stage: Stage, server: ValkeyServer) -> None:
    """Killed, and started with what it held a while ago."""
    dump, old = server.directory / "dump.rdb", server.directory / "old.rdb"
    with stage.filled(), client(server) as direct:
        direct.save()
    shutil.copy(dump, old)
    stage.go_on(stage.pace.fault / 2)
    # A write without the server would wait in the outbox, and some of them repair every row.
    stage.hush()
    server.kill()
    shutil.copy(old, dump)
    # So short that most processes find out from a new connection only.
    server.start()
    with client(server) as direct:
        if not direct.dbsize():
            stage.broken.append("The snapshot was empty.")


def frozen(stage: Stage, server: ValkeyServer) -> None:
    """SIGSTOP for longer than the time-out of the sockets, and SIGCONT."""
    for _ in range(stage.pace.rounds):
        with stopped(server):
            stage.go_on(2 * stage.pace.time_out + stage.pace.fault / stage.pace.rounds)


@contextmanager
def stopped(server: ValkeyServer) -> Iterator[None]:
    """Hold the server stopped by SIGSTOP."""
    assert server.process is not None
    server.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.process.send_signal(signal.SIGCONT)


@contextmanager
def unreachable(server: ValkeyServer) -> Iterator[None]:
    """Refuse connections, and cut those that there are; what is stored stays."""
    elsewhere = server.socket.rename(server.socket.with_suffix(".moved"))
    try:
        cut(elsewhere)
        yield
    finally:
        elsewhere.rename(server.socket)


def cut(path: Path) -> None:
    with redis.Redis(unix_socket_path=str(path)) as direct:
        direct.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def refused(stage: Stage, server: ValkeyServer) -> None:
    """Connections refused; what the server holds stays."""
    with ExitStack() as stack:
        with stage.filled():
            stack.enter_context(unreachable(server))
        stage.go_on(stage.pace.fault)
        stage.hush()


def cut_off(stage: Stage, server: ValkeyServer) -> None:
    """CLIENT KILL of all connections, again and again."""
    times = 0
    for _ in stage.meanwhile(0.03):
        cut(server.socket)
        times += 1
    stage.notes.append(f"All connections were closed {times} times.")


def pressed(stage: Stage, server: ValkeyServer) -> None:
    """maxmemory with allkeys-lru, and a neighbour who fills it."""
    with client(server) as direct:
        direct.config_set("maxmemory-policy", "allkeys-lru")
        direct.config_set("maxmemory", direct.info("memory")["used_memory"] + ROOM)
        numbers = count()
        for _ in stage.meanwhile(0.01):
            pipe = direct.pipeline(transaction=False)
            for number in islice(numbers, ROOM // (5 * len(NEIGHBOUR))):
                pipe.set(f"neighbour:{number}", NEIGHBOUR)
            # Refused only where nothing is left that could be evicted right now.
            pipe.execute(raise_on_error=False)
        evicted = direct.info("stats")["evicted_keys"]
        stage.notes.append(f"{evicted:,} keys were evicted.")
        if not evicted:
            stage.broken.append("Nothing was evicted.")
        direct.config_set("maxmemory", 0)


class TcpServer(ValkeyServer):
    """A server on a TCP port, which has a queue for connections that it has not accepted."""

    def __init__(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = free.getsockname()[1]
        super().__init__(port=self.port, tcp_backlog=QUEUE)

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"


def black_hole(stage: Stage, server: ValkeyServer) -> None:
    """Packets are dropped: no answer to what is sent, none to who wants to connect."""
    assert isinstance(server, TcpServer)
    address = ("127.0.0.1", server.port)
    with ExitStack() as stack:
        stack.enter_context(stopped(server))
        for _ in range(4 * QUEUE):  # Once the queue is full, the kernel drops who asks.
            waiting = stack.enter_context(socket.socket())
            waiting.setblocking(False)
            waiting.connect_ex(address)
        try:
            socket.create_connection(address, timeout=stage.pace.time_out).close()
            stage.broken.append("It was possible to connect to the black hole.")
        except TimeoutError:
            pass
        stage.go_on(stage.pace.fault)
