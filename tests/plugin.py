"""Servers for the test run, started before Django's settings are read.

Loaded with `-p tests.plugin`, because a conftest would come too late for pytest-django. Each
worker of pytest-xdist has its own, because tests flush them and look at everybody's connections.
"""

import argparse
import gc
import os
import platform
import tempfile
from collections.abc import Generator
from contextlib import ExitStack

import django
import psycopg
import pytest
import redis

from example_project.servers import running_servers


# pytest-django reads the settings in a plain `tryfirst` hook; only a wrapper runs before that.
@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    if _runs_tests(early_config.known_args_namespace):
        stack = ExitStack()
        # Unlike pytest_unconfigure, this also runs when pytest fails before it is configured.
        early_config.add_cleanup(stack.close)
        stack.enter_context(running_servers())
        os.environ["TEST_DIRECTORY"] = stack.enter_context(tempfile.TemporaryDirectory())
    return (yield)


def _runs_tests(options: argparse.Namespace) -> bool:
    """Tell whether this process runs tests itself."""
    if options.collectonly or options.help or options.version:
        return False
    # A worker is given the arguments of the process that hands out the tests.
    is_worker = "PYTEST_XDIST_WORKER" in os.environ
    # Under --pdb, `-n auto` starts no workers.
    if is_worker or options.usepdb or not getattr(options, "numprocesses", None):
        return True
    if os.environ.get("REDIS_URL"):
        raise pytest.UsageError("The workers would flush the server of REDIS_URL; add -n 0")
    return False


def pytest_report_header() -> str:
    return ", ".join(
        [f"Python {platform.python_version()}", f"Django {django.get_version()}", *_servers()]
    )


def _servers() -> Generator[str]:
    if url := os.environ.get("REDIS_URL"):
        with redis.Redis.from_url(url) as client:
            info = client.info("server")
        # Valkey reports the Redis version it is compatible with as `redis_version`.
        name = "Valkey" if "valkey_version" in info else "Redis"
        yield f"{name} {info.get('valkey_version', info['redis_version'])}"
    if (url := os.environ.get("DATABASE_URL", "")).startswith("postgres"):
        with psycopg.connect(url) as connection:
            yield f"PostgreSQL {connection.info.parameter_status('server_version')}"


# First, because the plugin that the answer is for was loaded later, and has one of its own.
@pytest.hookimpl(tryfirst=True)
def pytest_xdist_auto_num_workers() -> int:
    """Twice as many as there are processors: many tests wait, for a server or for time to pass."""
    return 2 * (os.cpu_count() or 1)


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """Collect without looking for garbage, and never look at what was collected again.

    The tests are half a million objects, which the search for garbage would go through many times.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.enable()
        gc.collect()
        gc.freeze()


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Have every worker begin with its share of what takes long, and not end with it.

    Under `--dist worksteal`, each worker begins with a run of consecutive tests, as long as others.
    """
    workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    if workers > 1:
        items[:] = _dealt(items, workers)


def _dealt(items: list[pytest.Item], workers: int) -> list[pytest.Item]:
    slow = [item for item in items if _is_slow(item)]
    others = [item for item in items if not _is_slow(item)]
    dealt: list[pytest.Item] = []
    for worker in range(workers):
        size = (len(items) - len(dealt)) // (workers - worker)
        hand = slow[worker::workers]
        rest = max(0, size - len(hand))
        dealt += hand + others[:rest]
        del others[:rest]
    return dealt


def _is_slow(item: pytest.Item) -> bool:
    return any(item.get_closest_marker(name) for name in ("slow", "packaging"))
