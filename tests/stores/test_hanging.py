"""A thread that waits for a store and hangs, and the one that takes its place."""

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.stores import recovery
from cache_invalidation.stores.base import Store
from cache_invalidation.stores.breaker import Breaker
from cache_invalidation.tags import ROOT
from tests.stores.fake_server import FakeServer
from tests.stores.steps import MISS, PATIENCE, recall, remember, wait_until
from tests.stores.test_breaker import directory, fails, has_been_asked, nothing_waits, use

__all__ = ["directory", "nothing_waits", "use"]


class Hanging:
    """Something of which the first call hangs until it is to go on; then `passed` is an hour."""

    def __init__(self, patch: pytest.MonkeyPatch, then: Callable[..., Any]) -> None:
        self._then = then
        self._begun, self._goes_on = threading.Event(), threading.Event()
        self._passed = 0.0
        patch.setattr(recovery, "monotonic", lambda: time.monotonic() + self._passed)

    def __call__(self, *args: Any) -> Any:
        if not self._begun.is_set():
            self._thread = threading.current_thread()
            self._begun.set()
            assert self._goes_on.wait(PATIENCE)
        return self._then(*args)

    def is_found_out(self, store: Store) -> None:
        """Have somebody want the store long after it has begun to hang."""
        assert self._begun.wait(PATIENCE)
        self._passed = 3600
        fails(lambda: store.versions(["a"]))

    def goes_on(self) -> None:
        """Let it go on, until its thread is at its end."""
        self._goes_on.set()
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()


def is_over(store: Store) -> None:
    wait_until(lambda: store.breaker.is_working)


def test_another_takes_the_place_of_one_that_hangs(use, valkey, monkeypatch, caplog):
    store = use(valkey.url, RETRY_INTERVAL=0.001)
    hanging, goes_on, passed = threading.Event(), threading.Event(), 0.0

    def hangs_at_first(*args: Any) -> bool:
        if not hanging.is_set():
            hanging.set()
            goes_on.wait(PATIENCE)
        return True

    monkeypatch.setattr(recovery, "_steps", [hangs_at_first])
    monkeypatch.setattr(recovery, "monotonic", lambda: time.monotonic() + passed)
    store.distrust(StoreUnavailable("down"), lost=False)
    assert hanging.wait(PATIENCE)
    fails(lambda: store.versions(["a"]))
    assert "hangs" not in caplog.text
    passed = 3600
    fails(lambda: store.versions(["a"]))
    assert "hangs" in caplog.text
    wait_until(lambda: store.breaker.is_working)
    goes_on.set()
    store.versions(["a"])


def test_a_thread_that_waits_for_its_turn_does_not_hang(use, directory: Path, monkeypatch, caplog):
    passed = 0.0
    monkeypatch.setattr(recovery, "monotonic", lambda: time.monotonic() + passed)
    with FakeServer(directory) as server:
        store = use(server.url)
        fails(lambda: store.versions(["a"]))
        has_been_asked(store)
        wait_until(lambda: store.recovery._thread.trying_since > time.monotonic())
        passed = 100_000
        fails(lambda: store.versions(["a"]))
    assert "hangs" not in caplog.text


def test_what_two_threads_make_up_for_is_not_counted_twice(use, valkey, monkeypatch):
    store = use(valkey.url, RETRY_INTERVAL=0.001)
    dropping = Hanging(monkeypatch, store.drop_everything)
    monkeypatch.setattr(store, "drop_everything", dropping)
    store.distrust(StoreUnavailable("lost"), lost=True)
    dropping.is_found_out(store)
    is_over(store)
    dropping.goes_on()
    remember(store, "page", "value", ROOT, "a")
    store.distrust(StoreUnavailable("lost"), lost=True)
    is_over(store)
    assert recall(store, "page", ROOT, "a") == MISS


@pytest.mark.parametrize("where", ["ping", "step"])
def test_one_that_hung_says_nothing_any_more(use, valkey, monkeypatch, caplog, where):
    store = use(valkey.url, RETRY_INTERVAL=0.001)
    if where == "ping":
        hanging = Hanging(monkeypatch, store.ping)
        monkeypatch.setattr(store, "ping", hanging)
    else:
        hanging = Hanging(monkeypatch, lambda *args: True)
        monkeypatch.setattr(recovery, "_steps", [hanging])
    store.distrust(StoreUnavailable("down"))
    hanging.is_found_out(store)
    is_over(store)
    hanging.goes_on()
    # The other one says so after everybody may use it.
    wait_until(lambda: "answers again" in caplog.text)
    assert caplog.text.count("answers again") == 1


def test_one_that_hung_does_not_keep_the_other_from_asking():
    breaker = Breaker("default")
    breaker.failed(OSError("down"))
    goes_on = threading.Event()

    def ask() -> None:
        with breaker.attended():
            goes_on.wait(PATIENCE)

    hanging = threading.Thread(target=ask)
    hanging.start()
    wait_until(lambda: breaker._attendant is not None)
    with breaker.attended():
        goes_on.set()
        hanging.join(PATIENCE)
        assert breaker.admits(urgent=False)
    assert not breaker.admits(urgent=False)


def test_who_writes_the_log_may_use_the_cache_that_is_down(use, valkey, monkeypatch):
    store = use(valkey.url, RETRY_INTERVAL=0.001)
    hanging = Hanging(monkeypatch, lambda *args: True)
    monkeypatch.setattr(recovery, "_steps", [hanging])

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if "hangs" in record.getMessage():
                store.recovery.begin()

    handler = Handler()
    logger = logging.getLogger("cache_invalidation")
    logger.addHandler(handler)
    try:
        store.distrust(StoreUnavailable("down"))
        finding = threading.Thread(target=hanging.is_found_out, args=[store], daemon=True)
        finding.start()
        finding.join(PATIENCE)
        assert not finding.is_alive()
    finally:
        logger.removeHandler(handler)
        hanging.goes_on()
