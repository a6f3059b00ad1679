"""Taking the store down, and waiting until it is back."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from math import inf
from typing import Any, Final
from unittest import mock

import pytest
import redis
from redis.connection import AbstractConnection

from cache_invalidation.delivery.outbox import draining
from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.metrics.counters import counters
from cache_invalidation.stores import get_store, recovery
from cache_invalidation.stores.breaker import State
from cache_invalidation.tags import ROOT
from example_project.servers import ValkeyServer
from tests.stores.steps import PATIENCE, wait_until

NOBODY: Final = "unix:///nobody-listens-here.sock"

RETRY_INTERVAL: Final = 0.02  # seconds

Use = Callable[..., None]


class _Waited(threading.local):
    """The seconds that this thread has waited."""

    seconds = 0.0


_waited = _Waited()


def _seconds_waited() -> float:
    return _waited.seconds


class _CountingEvent(threading.Event):
    def wait(self, timeout: float | None = None) -> bool:
        was_set = super().wait(timeout)
        _waited.seconds += timeout or 0.0
        return was_set


@contextmanager
def waiting_is_all_that_takes_time() -> Iterator[None]:
    """Have time pass for a thread that waits for a store only while it waits.

    So whatever it has to do by a deadline is done by then, however busy the machine is.
    """
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(recovery, "Event", _CountingEvent))
        for module in (recovery, draining):
            stack.enter_context(mock.patch.object(module, "monotonic", _seconds_waited))
        yield


@pytest.fixture
def use(settings: Any) -> Iterator[Use]:
    """Make the default cache that of a server, with a new store that knows of no outage.

    The settings of the package are the defaults, with short intervals, and those that are given.
    """
    original = settings.CACHES["default"]

    def use(url: str, *, socket_timeout: float = PATIENCE, **package_settings: Any) -> None:
        options = original["OPTIONS"] | {"SOCKET_TIMEOUT": socket_timeout}
        settings.CACHES = settings.CACHES | {
            "default": original | {"LOCATION": url, "OPTIONS": options}
        }
        settings.CACHE_INVALIDATION = {
            "RETRY_INTERVAL": RETRY_INTERVAL,
            "METRICS_FLUSH_INTERVAL": 3600,
            **package_settings,
        }

    counters.discard()
    with waiting_is_all_that_takes_time():
        yield use
    counters.discard()


@pytest.fixture
def down(use: Use) -> Use:
    """Take the default cache away; called again, with other settings of the package."""

    def down(**package_settings: Any) -> None:
        use(NOBODY, **package_settings)

    down()
    return down


@pytest.fixture
def up(use: Use, redis_url: str) -> Use:
    """Return what makes the default cache that of the test run again, with a new store.

    That store has seen no outage, so nobody delivers what waits unless the test does.
    """

    def up(**package_settings: Any) -> None:
        use(redis_url, **package_settings)

    return up


def notice() -> None:
    """Have this process find out that the store is down, as a reader does."""
    with pytest.raises(StoreUnavailable):
        get_store().versions([ROOT])


def wait_for(state: State) -> None:
    wait_until(lambda: get_store().breaker.state == state)


def deliver_nothing() -> None:
    """Have this process never find out that the store is back, so that what waits goes on waiting.

    A store that fails is asked again at once, whatever the interval.
    """
    store = get_store()
    store.recovery.stop()
    if store.recovery._thread is not None:
        store.recovery._thread.join()
    store.recovery._asked = inf  # Writers would ask by themselves after a while.


@contextmanager
def frozen(server: ValkeyServer) -> Iterator[None]:
    """Have the server answer nothing until the block ends; it has lost nothing then.

    Whoever waits for an answer of it in this process is out of time at once. What is sent to it is
    executed in the end.
    """
    read_response: Any = AbstractConnection.read_response
    process = os.getpid()

    def time_out(self: Any, *args: Any, **kwargs: Any) -> Any:
        if getattr(self, "path", None) != str(server.socket) or os.getpid() != process:
            return read_response(self, *args, **kwargs)
        self.disconnect()
        raise redis.TimeoutError("Timeout reading from the socket")

    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        with mock.patch.object(AbstractConnection, "read_response", time_out):
            yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)


@contextmanager
def suspended(server: ValkeyServer) -> Iterator[None]:
    """Do the same, and have this process notice."""
    with frozen(server):
        notice()
        yield
