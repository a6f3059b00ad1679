"""A view that asks for ten cached functions, with `cached_together` and without."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import sleep
from typing import Any, Final
from unittest import mock

from cache_invalidation import cached, cached_together
from cache_invalidation.stores import get_store
from tests.benchmarks import payloads
from tests.benchmarks.comparing import compared
from tests.benchmarks.server import CacheServer
from tests.benchmarks.table import Row
from tests.benchmarks.timing import Scale

FUNCTIONS: Final = 10
AWAY: Final = 0.0005  # seconds


def _made(number: int) -> Callable[[], Any]:
    @cached(tags=f"testapp.product:{number}", name=f"benchmark.together.{number}")
    def small() -> dict[str, Any]:
        return payloads.small(number)

    return small


_FUNCTIONS: Final = [_made(number) for number in range(FUNCTIONS)]


def view() -> list[Any]:
    return [function() for function in _FUNCTIONS]


together = cached_together(view)


@cached_together
def one() -> Any:
    return _FUNCTIONS[0]()


def measure(scale: Scale) -> Iterator[Row]:
    """Measure ten functions, and one, where there is nothing to gain."""
    CacheServer().empty()
    for _ in range(4):
        together()
        one()
    with CacheServer().cost() as cost:
        together()
    trips = cost.round_trips
    yield Row(name="together: round trips", unit="", ours=trips, figure=trips, budget=1)
    yield _next_to("ten functions, to a call of each", view, together, scale, 1.0)
    with _distant():
        yield _next_to("the same, half a millisecond away", view, together, scale, 0.3)
    yield _next_to("one function, to calling it", _FUNCTIONS[0], one, scale, 1.4)


@contextmanager
def _distant() -> Iterator[None]:
    """Have each lookup take as long as if the server was not on this machine."""
    servers: Any = get_store()._servers  # type: ignore[attr-defined]
    look = servers.look

    def later(commands: Any) -> Any:
        sleep(AWAY)
        return look(commands)

    with mock.patch.object(servers, "look", later):
        yield


def _next_to(
    name: str, theirs: Callable[[], Any], ours: Callable[[], Any], scale: Scale, budget: float
) -> Row:
    assert ours() == theirs()
    calls, rounds = scale.calls, scale.rounds
    return compared(f"together: {name}", theirs, ours, calls=calls, rounds=rounds, budget=budget)
