"""What is counted without a lock is counted once, whoever counts and takes at the same time."""

import threading

from cache_invalidation.metrics.counters import Counters
from cache_invalidation.metrics.tally import Tally
from tests.metrics.test_counters import finish, run, stored


def test_each_is_taken_once() -> None:
    tally = Tally(("hits",))
    assert tally.take() == 0
    for _ in range(3):
        tally.one()
    assert [tally.take(), tally.take()] == [3, 0]
    tally.one()
    assert tally.take() == 1


def test_threads_lose_none_while_another_one_takes() -> None:
    tally, started = Tally(("hits",)), threading.Barrier(5)

    def count() -> None:
        started.wait()
        for _ in range(50_000):
            tally.one()

    threads = [threading.Thread(target=count) for _ in range(4)]
    for thread in threads:
        thread.start()
    started.wait()
    taken = 0
    while any(thread.is_alive() for thread in threads):
        taken += tally.take()
    assert taken + tally.take() == 200_000


def test_it_is_added_to_the_counters_with_the_next_flush_and_the_same_for_the_same_names() -> None:
    own = Counters()
    own.tally("hits", "hits:page").one()
    own.tally("hits", "hits:page").one()
    own.add("hits")  # The first one flushes.
    own.flush()
    assert [stored("hits"), stored("hits:page")] == [3, 2]
    own.tally("hits", "hits:page").one()
    own.discard()
    own.flush()
    assert stored("hits") == 3


def test_a_child_does_not_take_what_its_parent_counted() -> None:
    code = """
import os, django; django.setup()
from cache_invalidation.metrics.counters import counters
tally = counters.tally("both")
tally.one()
child = os.fork()
if not child:
    tally.one()
    counters.flush()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    finish(run("-c", code))
    assert stored("both") == 2
