"""Taking the store down, and waiting until it is back."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest

from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.metrics.counters import counters
from cache_invalidation.stores import get_store
from cache_invalidation.stores.breaker import State
from cache_invalidation.tags import ROOT
from example_project.servers import ValkeyServer
from tests.stores.steps import wait_until

NOBODY: Final = "unix:///nobody-listens-here.sock"

# Seconds; while it recovers, the backlog of a test can be delivered in less.
RETRY_INTERVAL: Final = 0.2

Use = Callable[..., None]


@pytest.fixture
def use(settings: Any) -> Iterator[Use]:
    """Make the default cache that of a server, with a new store that knows of no outage.

    The settings of the package are the defaults, with short intervals, and those that are given.
    """
    original = settings.CACHES["default"]

    def use(url: str, **package_settings: Any) -> None:
        options = original["OPTIONS"] | {"SOCKET_TIMEOUT": 0.2, "SOCKET_CONNECT_TIMEOUT": 0.2}
        settings.CACHES = settings.CACHES | {
            "default": original | {"LOCATION": url, "OPTIONS": options}
        }
        settings.CACHE_INVALIDATION = {
            "RETRY_INTERVAL": RETRY_INTERVAL,
            "METRICS_FLUSH_INTERVAL": 3600,
            **package_settings,
        }

    counters.discard()
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


@contextmanager
def suspended(server: ValkeyServer) -> Iterator[None]:
    """Have the server answer nothing until the block ends; it has lost nothing then.

    This process has noticed. What it still sent would be executed in the end.
    """
    assert server.process is not None
    os.kill(server.process.pid, signal.SIGSTOP)
    try:
        notice()
        yield
    finally:
        os.kill(server.process.pid, signal.SIGCONT)
