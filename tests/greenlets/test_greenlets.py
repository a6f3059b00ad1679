"""The app in a process where `gevent.monkey.patch_all()` has made a greenlet of each thread."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from django.core.management import call_command
from django.db import connection

from cache_invalidation.models import PendingInvalidation
from cache_invalidation.stores.redis.near import RedisNear
from example_project.airports.loading import load, read_airports
from example_project.airports.models import Airport
from example_project.servers import ValkeyServer
from tests.consistency.mixture import ROWS
from tests.greenlets import racing
from tests.greenlets.racing import READERS, WRITERS, course_in
from tests.near.soak.course import KEYS, Course, State
from tests.near.soak.report import Report
from tests.near.soak.site import raise_elevation
from tests.stores.steps import PATIENCE, wait_until

pytest.importorskip("gevent")

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

HITS = 20  # near, at least, between two writes

SCENES = [
    "everything_is_patched",
    "recordings_are_apart",
    "journals_are_apart",
    "batches_are_apart",
    "languages_are_apart",
    "outages_end",
    "the_background_works",
    "the_background_is_left_to_the_parent",
    "outages_are_left_to_the_parent",
    "what_was_asked_is_left_to_the_parent",
    "it_ends",
]


@pytest.fixture(autouse=True)
def cache(settings: Any, valkey: ValkeyServer) -> str:
    """The cache of this process and of the other one, as JSON."""
    patterns = [f"{KEYS}*", "product:*"]
    settings.CACHES = {
        **settings.CACHES,
        "default": {
            "BACKEND": "cache_invalidation.backends.RedisCache",
            "LOCATION": valkey.url,
            # On a busy machine, an answer that takes its time is no outage.
            "OPTIONS": {"TRACK": patterns, "NEAR": patterns, "SOCKET_TIMEOUT": PATIENCE},
        },
    }
    settings.CACHE_INVALIDATION = {"FENCE_TIMEOUT": 5.0}
    return json.dumps(settings.CACHES["default"])


def begin(scene: str, cache: str, *wanted: str) -> "subprocess.Popen[str]":
    database = connection.settings_dict["NAME"]
    command = [sys.executable, "-m", "tests.greenlets", scene, database, cache, *wanted]
    return subprocess.Popen(
        command, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=os.environ
    )


def check_that_it_ends_well(process: "subprocess.Popen[str]") -> None:
    try:
        told, _ = process.communicate(timeout=PATIENCE)
    finally:
        process.kill()
    assert (process.returncode, told) == (0, "done\n"), told


@pytest.mark.parametrize("scene", SCENES)
def test_greenlets_are_as_good_as_threads(scene: str, cache: str):
    check_that_it_ends_well(begin(f"scenes.{scene}", cache))


class Writing:
    """What this process does in a race with the greenlets of another one."""

    def __init__(self, course: Course, process: "subprocess.Popen[str]") -> None:
        self.course = course
        self.process = process

    def write(self) -> None:
        row = random.randrange(len(self.course.icaos))
        elevation = raise_elevation(self.course.icaos[row])
        self.course.returned[len(self.course.icaos) + row] = elevation
        self.course.tallies[1].writes += 1

    def write_until(self, is_enough: Callable[[Report], bool]) -> None:
        """Write as often as there are near hits in between, however fast these come."""
        deadline, near = time.monotonic() + 3 * PATIENCE, 0
        while not is_enough(report := self.report()):
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline, report
            if report.near >= near + HITS:
                near = report.near
                self.write()
            time.sleep(random.uniform(0, 0.01))

    def have_all_look(self, readers: int) -> None:
        """Have the others compare what they have with the database, when nobody writes."""
        course = self.course
        course.state.value = State.HUSH
        if readers > 1:
            wait_until(lambda: bool(course.tallies[0].is_hushed))
        call_command("drain_invalidations", database=["default"], verbosity=0)
        assert not PendingInvalidation.objects.exists()
        course.rounds.value += 1
        course.state.value = State.LOOK
        tallies = course.tallies[WRITERS : WRITERS + readers]
        wait_until(lambda: all(tally.looks == course.rounds.value for tally in tallies))

    def report(self) -> Report:
        report = Report()
        for tally in self.course.tallies:
            report.add(tally)
            if tally.remark:
                report.remarks.append(tally.remark.decode())
        return report


@contextmanager
def raced(how: Callable[..., None], cache: str, path: Path) -> Iterator[Writing]:
    """Have another process race in this way until the end of the block, and end well then."""
    load(read_airports(["IE"]))
    rows = dict(Airport.objects.order_by("icao").values_list("icao", "elevation_ft")[:ROWS])
    course = course_in(path, list(rows))
    for at, elevation in enumerate([*rows.values()] * WRITERS):
        course.returned[at] = elevation
    course.until.value = time.monotonic() + 10 * PATIENCE
    process = begin(f"racing.{how.__name__}", cache, str(path), *rows)
    try:
        yield Writing(course, process)
        course.state.value = State.END
        check_that_it_ends_well(process)
    finally:
        process.kill()


def test_nothing_stale_is_read_in_greenlets(cache: str, tmp_path: Path):
    with raced(racing.race, cache, tmp_path / "course") as writing:
        writing.write_until(lambda it: it.near >= 2_000 and it.writes >= 100)
        writing.have_all_look(READERS)
        report = writing.report()
    assert report.is_right, report


def test_nor_if_their_process_is_stopped_or_cut_off(
    cache: str, tmp_path: Path, valkey: ValkeyServer
):
    with (
        raced(racing.race, cache, tmp_path / "course") as writing,
        redis.Redis.from_url(valkey.url) as client,
    ):
        for _ in range(6):
            near = writing.report().near
            writing.write_until(lambda it, near=near: it.near >= near + 500)  # type: ignore[misc]
            pid = writing.process.pid
            os.kill(pid, signal.SIGSTOP)
            client.execute_command("CLIENT", "KILL", "TYPE", random.choice(["pubsub", "normal"]))
            # Not after the write, which may have to wait for a lock that the other one holds.
            going_on = threading.Timer(random.uniform(0, 1), os.kill, [pid, signal.SIGCONT])
            going_on.start()
            writing.write()
            going_on.join()
        writing.have_all_look(READERS)
        report = writing.report()
    assert report.is_right, report


def test_nor_beside_children_that_have_its_greenlets(cache: str, tmp_path: Path):
    with raced(racing.fork, cache, tmp_path / "course") as writing:
        writing.write_until(lambda it: it.near >= 2_000 and it.writes >= 100)
        writing.have_all_look(1)
        report = writing.report()
    assert report.is_right, report


def test_the_race_tells_if_writers_do_not_wait(
    cache: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(RedisNear, "_wait", lambda *args: None)
    with raced(racing.race, cache, tmp_path / "course") as writing:
        writing.write_until(lambda it: it.stale > 0)
