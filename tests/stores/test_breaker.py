"""A store that is down is left alone, asked again now and then, and used again when it is back."""

import logging
import os
import tempfile
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cache_invalidation import cached
from cache_invalidation.exceptions import PatternsNotSupported, StoreUnavailable
from cache_invalidation.stores import get_store, guarding, recovery
from cache_invalidation.stores.base import Store
from cache_invalidation.stores.breaker import State
from cache_invalidation.stores.messages import Delivery, Filling
from cache_invalidation.tags import ROOT
from example_project.servers import ValkeyServer
from tests.stores.fake_server import FakeServer, nonsense, redis_of_version, silence
from tests.stores.steps import MISS, PATIENCE, recall, remember, wait_until


@pytest.fixture
def directory() -> Iterator[Path]:
    # The path of a UNIX socket has room for about 100 bytes, and that of tmp_path is long.
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


@pytest.fixture
def use(settings: Any) -> Callable[..., Store]:
    """Make the default cache that of a server, and return its store."""

    def use(url: str, timeout: float = PATIENCE, **package_settings: Any) -> Store:
        default = settings.CACHES["default"]
        options = default["OPTIONS"] | {"SOCKET_TIMEOUT": timeout}
        settings.CACHES = settings.CACHES | {
            "default": default | {"LOCATION": url, "OPTIONS": options}
        }
        settings.CACHE_INVALIDATION = {"RETRY_INTERVAL": 3600} | package_settings
        return get_store()

    return use


@pytest.fixture(autouse=True)
def nothing_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the outbox alone, which has tests of its own; here there is no database."""
    monkeypatch.setattr(recovery, "_steps", [])


@pytest.fixture
def catching_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Until this is set, a store that is back is recovering."""
    is_done = threading.Event()
    monkeypatch.setattr(recovery, "_steps", [lambda *args: is_done.wait(PATIENCE)])
    yield is_done
    is_done.set()


def steps_of_readers(store: Store) -> list[Callable[[], object]]:
    return [
        lambda: store.lookup(store.entry_place("page"), ["a"]),
        lambda: store.versions(["a"]),
        lambda: store.mint(["a"], 60),
        lambda: store.fill(
            Filling(entry="page", payload=b"1", versions={"a": "version"}, timeout=60)
        ),
        lambda: store.acquire(store.entry_place("page"), "token", 60),
        lambda: store.release(store.entry_place("page"), "token"),
        lambda: store.count({"hits": 1}),
        lambda: store.count({}, learned={"page": ["a"]}),
        lambda: store.learned(),
        lambda: store.count_calls({b"call": 1}),
        lambda: store.calls(),
        lambda: store.counters(),
        lambda: store.counters_per_minute([1, 2]),
        lambda: store.reset_counters(),
    ]


def steps_of_writers(store: Store) -> list[Callable[[], object]]:
    return [
        lambda: store.fence(["a"], [], "writer"),
        lambda: store.deliver(Delivery(token="t", tags=["a"], keys=["k"], counts={"tags": 1})),
        lambda: store.delete_patterns([store.pattern_place("a*")]),
    ]


def steps_of(store: Store) -> list[Callable[[], object]]:
    """Return every way there is to ask a store."""
    return [*steps_of_readers(store), *steps_of_writers(store)]


def together(number: int, function: Callable[[], object]) -> None:
    """Call `function` in so many threads at the same time."""
    start = threading.Barrier(number)

    def run() -> None:
        start.wait()
        function()

    threads = [threading.Thread(target=run) for _ in range(number)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def fails(step: Callable[[], object]) -> None:
    with pytest.raises(StoreUnavailable):
        step()


def succeeds(step: Callable[[], object]) -> bool:
    try:
        step()
    except StoreUnavailable:
        return False
    return True


@pytest.mark.parametrize("number", range(13))
def test_every_step_fails_in_the_same_way(use, valkey: ValkeyServer, number: int):
    store = use(valkey.url, RETRY_INTERVAL=0.001)
    steps_of(store)[number]()
    valkey.kill()
    for _ in range(3):
        fails(steps_of(store)[number])
    valkey.start()
    wait_until(lambda: succeeds(steps_of(store)[number]))


def has_been_asked(store: Store) -> None:
    """Wait until the thread has asked a store that has just failed for the first time."""
    wait_until(lambda: store.breaker.failures > 1)


@pytest.mark.parametrize("answer", [None, silence])
def test_nobody_asks_a_store_that_is_down(use, directory: Path, answer):
    with FakeServer(directory, answer) as server:
        store = use(server.url, timeout=0.2)
        fails(lambda: store.versions(["a"]))
        has_been_asked(store)
        attempts = server.connections
        for step in steps_of(store):
            fails(step)
        assert server.connections == attempts


def test_it_is_asked_again_at_once_and_then_once_in_each_interval(
    use, directory: Path, settings, monkeypatch
):
    deadlines, wait = [], recovery.Recovery._wait_until

    def noted(self: recovery.Recovery, deadline: float) -> None:
        deadlines.append(deadline)
        wait(self, deadline)

    monkeypatch.setattr(recovery.Recovery, "_wait_until", noted)
    with FakeServer(directory) as server:
        store = use(server.url, RETRY_INTERVAL=0.02)
        fails(lambda: store.versions(["a"]))
        wait_until(lambda: store.breaker.failures > 5)
        settings.CACHE_INVALIDATION["RETRY_INTERVAL"] = 3600
        wait_until(lambda: deadlines[-1] > time.monotonic() + PATIENCE)
        attempts = server.connections
        for step in steps_of(store):
            fails(step)
        assert server.connections == attempts


def test_however_many_fail_together_one_thread_waits_for_the_store(use, directory: Path):
    with FakeServer(directory) as server:
        store = use(server.url)
        together(20, lambda: fails(lambda: store.versions(["a"])))
        has_been_asked(store)
        name = "cache_invalidation recovery of default"
        assert [thread.name for thread in threading.enumerate()].count(name) == 1


def test_writers_use_it_again_before_readers_do(use, valkey: ValkeyServer, catching_up):
    store = use(valkey.url, RETRY_INTERVAL=0.001)
    valkey.kill()
    fails(lambda: store.versions(["a"]))
    valkey.start()
    wait_until(lambda: store.breaker.state == State.RECOVERING)
    for step in steps_of_readers(store):
        fails(step)
    for step in steps_of_writers(store):
        step()
    assert store.breaker.state == State.RECOVERING
    catching_up.set()
    wait_until(lambda: store.breaker.state == State.WORKING)
    for step in steps_of(store):
        step()


@pytest.fixture
def later(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Have the thread that asks get no time to; return what makes that be long ago."""
    passed = 0.0

    def later() -> None:
        nonlocal passed
        passed += 10_000

    monkeypatch.setattr(recovery.Recovery, "_run", lambda *args: None)
    for module in (recovery, guarding):
        monkeypatch.setattr(module, "monotonic", lambda: time.monotonic() + passed)
    return later


def test_writers_ask_by_themselves_if_nobody_has_for_so_long_that_others_may_trust_it(
    use, valkey: ValkeyServer, later
):
    store = use(valkey.url)
    valkey.kill()
    fails(lambda: store.versions(["a"]))
    valkey.start()
    for step in steps_of(store):
        fails(step)
    later()
    for step in steps_of_writers(store):
        step()
    for step in steps_of_readers(store):
        fails(step)


def test_a_writer_that_asks_in_vain_spares_the_others(use, directory: Path, later):
    with FakeServer(directory) as server:
        store = use(server.url)
        fails(lambda: store.versions(["a"]))
        for _ in range(2):
            later()
            attempts = server.connections
            fails(steps_of_writers(store)[0])
            asked = server.connections
            assert asked > attempts
            for step in steps_of(store):
                fails(step)
            assert server.connections == asked


def test_what_one_process_knows_is_too_old_before_another_trusts_the_store(use, valkey):
    waiting = use(valkey.url).recovery
    assert waiting._settling() > waiting._validity() > 3600


def test_a_store_that_fails_while_it_recovers_is_not_trusted(use, valkey, catching_up):
    store = use(valkey.url, RETRY_INTERVAL=0.001)
    remember(store, "page", "value", "a")
    valkey.kill()
    fails(lambda: store.versions(["a"]))
    valkey.start()
    wait_until(lambda: store.breaker.state == State.RECOVERING)
    store.distrust(StoreUnavailable("lost"), lost=True)
    assert store.breaker.state == State.DOWN
    catching_up.set()
    wait_until(lambda: store.breaker.state == State.WORKING)
    assert not store.breaker.has_losses


def test_an_invalidation_that_was_lost_is_made_up_for(use, valkey):
    store = use(valkey.url, RETRY_INTERVAL=0.001)
    remember(store, "page", "value", ROOT, "a")
    assert recall(store, "page", ROOT, "a") == "value"
    store.distrust(StoreUnavailable("lost"), lost=True)
    wait_until(lambda: store.breaker.is_working)
    assert recall(store, "page", ROOT, "a") == MISS


def test_what_a_failure_says_of_another_is_not_said_twice(use, valkey):
    store = use(valkey.url)
    valkey.kill()
    fails(lambda: store.versions(["a"]))
    reason = store.breaker.reason
    assert reason.startswith("ConnectionError: Error 111")
    for _ in range(3):
        with pytest.raises(StoreUnavailable) as caught:
            store.versions(["a"])
        store.distrust(caught.value, lost=True)
    assert store.breaker.reason == reason


def test_a_child_waits_for_the_store_by_itself(use, valkey):
    store = use(valkey.url, RETRY_INTERVAL=0.02)
    valkey.kill()
    fails(lambda: store.versions(["a"]))
    seen, has_failed = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Of forking with threads.
        child = os.fork()
    if not child:
        try:
            fails(lambda: store.versions(["a"]))
            os.close(has_failed)
            wait_until(lambda: store.breaker.is_working)
            os._exit(0)
        finally:
            os._exit(1)
    os.close(has_failed)
    os.read(seen, 1)  # Until the child has closed the other end, too.
    os.close(seen)
    valkey.start()
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_an_outage_is_logged_once_when_it_begins_and_once_when_it_ends(
    use, valkey: ValkeyServer, caplog
):
    caplog.set_level(logging.DEBUG, "cache_invalidation")
    store = use(valkey.url, RETRY_INTERVAL=0.001)
    store.versions(["a"])
    for outage in (1, 2):
        valkey.kill()
        for _ in range(5):
            for step in steps_of(store):
                fails(step)
        valkey.start()
        wait_until(lambda: succeeds(lambda: store.versions(["a"])))
        for step in steps_of(store):
            step()
        assert store.breaker.outages == outage
        # The thread says so after everybody may use it.
        wait_until(lambda: caplog.records[-1].levelname == "WARNING")
        assert [record.levelname for record in caplog.records] == ["ERROR", "WARNING"] * outage
    assert "'default' failed (ConnectionError" in caplog.records[0].getMessage()
    assert "'default' answers again" in caplog.records[1].getMessage()


def test_threads_that_fail_at_the_same_time_log_one_outage(use, valkey, caplog):
    store = use(valkey.url, RETRY_INTERVAL=0.001)
    store.versions(["a"])
    valkey.kill()

    def read() -> None:
        for _ in range(20):
            fails(lambda: store.versions(["a"]))

    together(10, read)
    assert len(caplog.records) == 1


@pytest.mark.parametrize("number", range(13))
def test_a_server_that_talks_nonsense_is_a_server_that_is_down(use, directory, number):
    with FakeServer(directory, nonsense) as server:
        fails(steps_of(use(server.url))[number])


def test_a_server_that_is_too_old_is_not_used(use, directory: Path, caplog):
    with FakeServer(directory, redis_of_version("6.2.14")) as server:
        store = use(server.url)
        with pytest.raises(StoreUnavailable, match=r"the server is Redis 6\.2\.14"):
            store.versions(["a"])
        assert "Redis 7.0 or Valkey 7.2 is needed" in caplog.text
        assert "6.2.14" in str(use(server.url).condition().problem)


def test_a_server_that_is_down_is_no_mistake_in_the_settings(use, valkey: ValkeyServer):
    store = use(valkey.url)
    valkey.kill()
    assert store.condition().problem is None


def test_a_page_is_computed_while_the_store_is_left_alone(use, directory: Path):
    @cached(tags=["a"])
    def page() -> str:
        return "value"

    with FakeServer(directory) as server:
        store = use(server.url)
        page()
        has_been_asked(store)
        attempts = server.connections
        assert [page() for _ in range(10)] == ["value"] * 10
        assert server.connections == attempts


def test_what_a_cache_cannot_do_is_no_outage(settings):
    settings.CACHE_INVALIDATION = {"CACHE": "redis_django"}
    store = get_store()
    with pytest.raises(PatternsNotSupported):
        store.delete_patterns([store.pattern_place("a*")])
    remember(store, "page", "value", "a")
    assert recall(store, "page", "a") == "value"


def test_each_alias_has_an_outage_of_its_own(use, valkey: ValkeyServer):
    store = use(valkey.url)
    valkey.kill()
    fails(lambda: store.versions(["a"]))
    assert get_store("zlib").versions(["a"]) == {"a": None}
