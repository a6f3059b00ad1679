"""What can go wrong in a soak, and what has it go wrong again and again.

Each trouble is a generator: it begins it, yields for how many seconds it lasts, and ends it. They
overlap, but there is only one with the server at a time. All of them are in the main thread: a
server would not outlive another one that has started it.
"""

import random
import signal
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import redis

from example_project.servers import ValkeyServer
from example_project.topologies import SentinelGroup, wait_for
from tests.consistency.drills.outages import client
from tests.near.soak.crew import Crew

PAUSE: Final = (0.2, 1.0)  # seconds between two troubles


@dataclass(slots=True, kw_only=True)
class Scene:
    """Where it happens. `group` is what the server belongs to, if it is not alone."""

    crew: Crew
    alone: ValkeyServer | None = None
    group: SentinelGroup | None = None

    @property
    def server(self) -> ValkeyServer:
        """The server that is written to."""
        if self.alone is not None:
            return self.alone
        assert self.group is not None
        return self.group.primary

    def client(self) -> redis.Redis:
        return client(self.server)


Trouble = Callable[[Scene], Iterator[float]]


def kill_reader(scene: Scene) -> Iterator[float]:
    """kill -9 of a reader, who leaves a lease behind"""
    scene.crew.kill("read")
    yield 0


def kill_writer(scene: Scene) -> Iterator[float]:
    """kill -9 of a writer, who leaves a fence behind"""
    scene.crew.kill("write")
    yield 0


def stop_reader(scene: Scene) -> Iterator[float]:
    """SIGSTOP of a reader, mostly past its lease, and SIGCONT"""
    number = scene.crew.stop("read")
    yield random.uniform(0.1, 0.8)
    scene.crew.go_on(number)


def stop_writer(scene: Scene) -> Iterator[float]:
    """SIGSTOP of a writer, and SIGCONT"""
    number = scene.crew.stop("write")
    yield random.uniform(0.1, 0.8)
    scene.crew.go_on(number)


def cut(scene: Scene) -> Iterator[float]:
    """CLIENT KILL of all connections"""
    with scene.client() as direct:
        direct.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
        direct.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
    yield 0


def cut_rings(scene: Scene) -> Iterator[float]:
    """CLIENT KILL of the subscriptions alone, while leases are renewed"""
    with scene.client() as direct:
        direct.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    yield 0


def restart(scene: Scene) -> Iterator[float]:
    """the server killed, and started with what it held"""
    _save(scene)
    scene.server.kill()
    yield random.uniform(0, 0.5)
    scene.server.start()
    yield _rest()


def restart_old(scene: Scene) -> Iterator[float]:
    """the server killed, and at once started with what it held a while ago"""
    _save(scene)
    yield random.uniform(0.3, 1.5)
    scene.server.kill()
    scene.server.start()
    yield _rest()


def restart_empty(scene: Scene) -> Iterator[float]:
    """the server killed, and started with nothing in it"""
    scene.server.kill()
    (scene.server.directory / "dump.rdb").unlink(missing_ok=True)
    yield random.choice([0, random.uniform(0, 0.5)])
    scene.server.start()
    yield _rest()


def flush(scene: Scene) -> Iterator[float]:
    """FLUSHALL"""
    with scene.client() as direct:
        direct.flushall()
    yield 0


def evict(scene: Scene) -> Iterator[float]:
    """all versions and fences evicted"""
    with scene.client() as direct:
        for name in direct.scan_iter("*ci:t:*"):
            direct.delete(name)
    yield 0


def no_memory(scene: Scene) -> Iterator[float]:
    """the server refuses whatever takes memory, for a while"""
    with scene.client() as direct:
        direct.config_set("maxmemory", 1)
        yield random.uniform(0.1, 0.5)
        direct.config_set("maxmemory", 0)


def failover(scene: Scene) -> Iterator[float]:
    """the primary killed, and a replica promoted by Sentinel that has missed the last writes"""
    group = scene.group
    assert group is not None
    assert group.replica.process is not None
    group.replica.process.send_signal(signal.SIGSTOP)
    group.primary.ask("CLIENT", "KILL", "TYPE", "replica")
    yield random.uniform(0.1, 0.5)
    group.primary.kill()
    group.replica.process.send_signal(signal.SIGCONT)
    group.wait_for_failover()
    yield _rest()
    group.change_places()


def _rest() -> float:
    """Return for how long a server is left alone, so that values are near again, or nearly."""
    return random.uniform(0, 3)


def _save(scene: Scene) -> None:
    with scene.client() as direct:
        wait_for(direct.save)  # A replica may just be given a copy, and there is one at a time.


_OF_PROCESSES: Final = [kill_reader, kill_writer, stop_reader, stop_writer]
_OF_SERVERS: Final = [
    cut,
    cut_rings,
    restart,
    restart_old,
    restart_empty,
    flush,
    evict,
    no_memory,
    failover,
]

#: By the names under which they are asked for.
TROUBLES: Final[dict[str, Trouble]] = {
    trouble.__name__.replace("_", "-"): trouble for trouble in [*_OF_PROCESSES, *_OF_SERVERS]
}
FAILOVER: Final = "failover"


class Mayhem:
    """Troubles with these `names`, in turns and at random. `log` is when which of them began."""

    def __init__(self, scene: Scene, names: Sequence[str]) -> None:
        self.counts = Counter(dict.fromkeys(names, 0))
        self.log: deque[tuple[float, str]] = deque(maxlen=1000)
        self._scene = scene
        self._names = list(names)
        self._next: list[str] = []
        self._under_way: list[tuple[float, str, Iterator[float]]] = []
        self._next_at = 0.0

    def step(self) -> None:
        """Begin what is due, and end what has lasted long enough."""
        now = time.monotonic()
        for each in [each for each in self._under_way if each[0] <= now]:
            self._under_way.remove(each)
            self._go_on(*each[1:])
        if self._names and now >= self._next_at:
            self._begin()
            self._next_at = time.monotonic() + random.uniform(*PAUSE)

    def _begin(self) -> None:
        if not self._next:  # Each of them has its turn, in another order each time.
            self._next = random.sample(self._names, len(self._names))
        name = next((name for name in self._next if not self._has_to_wait(name)), None)
        if name is None:
            return
        self._next.remove(name)
        self.counts[name] += 1
        self.log.append((time.monotonic(), name))
        self._go_on(name, TROUBLES[name](self._scene))

    def _has_to_wait(self, name: str) -> bool:
        under_way = {other for _, other, _ in self._under_way}
        if TROUBLES[name] in _OF_PROCESSES:
            # One of each kind of process goes on.
            return name.startswith("stop") and name in under_way
        return any(TROUBLES[other] not in _OF_PROCESSES for other in under_way)

    def _go_on(self, name: str, trouble: Iterator[float]) -> None:
        lasts = next(trouble, None)
        if lasts is not None:
            self._under_way.append((time.monotonic() + lasts, name, trouble))

    def end(self) -> None:
        """End all that is under way."""
        while self._under_way:
            _, _, trouble = self._under_way.pop()
            for _ in trouble:
                pass
