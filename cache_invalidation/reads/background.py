"""A few threads for what nobody waits for, and what they take along from whoever has the idea."""

import atexit
import logging
import os
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass
from threading import Lock, Thread, current_thread
from time import monotonic
from typing import Any, Final

from django.core.cache import caches
from django.db import connections

from cache_invalidation.forking import not_in_children, of_this_thread

logger = logging.getLogger("cache_invalidation")

THREADS: Final = 2
QUEUE: Final = 20  # tasks that wait for a thread

# Seconds after which a task is taken to hang, and its thread does not count any more; of so many
# at most, since each may have a connection to the database.
LONGEST: Final = 60.0
HANGING: Final = 4

# Seconds that a process which is about to end waits for what it is in the middle of.
FAREWELL: Final = 0.5

# What a task must not take along: what this package is in the middle of, such as a recording; and
# what asgiref keeps for one thread, such as the objects of `caches` or the thread for the database.
_LEFT_BEHIND: Final = ("cache_invalidation_", "asgiref.", "thread_sensitive_context")

Task = Callable[[], Any]


def context_of_caller() -> Context:
    """Return a context with what the project's own variables say now, such as a tenant."""
    context = Context()
    for variable, value in copy_context().items():
        if not variable.name.startswith(_LEFT_BEHIND):
            context.run(variable.set, value)
    return context


def _nothing() -> None:
    return None


@dataclass(slots=True)
class _Job:
    """A task, and what is to be called, once, when it hangs; `begun` is by `monotonic`."""

    context: Context
    task: Task
    hangs: Task
    begun: float = 0.0
    is_hanging: bool = False


class Background:
    """Threads that end when there is nothing left to do, and end with the process.

    Nobody can end one that hangs. It does not count any more, up to so many.
    """

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._lock = Lock()
        self._queue: deque[_Job] = deque()
        self._threads: dict[Thread, _Job | None] = {}
        self._is_over = False

    def run(self, task: Task, hangs: Task = _nothing) -> bool:
        """Have a thread call `task`, in the context of the caller; tell whether there is room.

        The thread closes the connections that the task has opened. If it takes too long, whoever
        finds that out calls `hangs`.
        """
        job = _Job(context_of_caller(), task, hangs)
        with self._lock:
            late = self._late()
            is_full = self._is_over or len(self._queue) >= QUEUE
            if not is_full:
                self._queue.append(job)
            self._begin()
            if not self._threads:
                self._queue.clear()
                is_full = True
        for each in late:
            each.hangs()
        return not is_full

    def look_after(self) -> None:
        """Have another thread do what waits behind tasks that hang. As `run` does."""
        if not self._queue:
            return
        with self._lock:
            late = self._late()
            self._begin()
        for each in late:
            each.hangs()

    def _late(self) -> list[_Job]:
        """Return what was found to hang just now."""
        before = monotonic() - LONGEST
        running = [job for job in self._threads.values() if job is not None]
        late = [job for job in running if job.begun <= before and not job.is_hanging]
        for job in late:
            job.is_hanging = True
        return late

    def _working(self) -> int:
        """How many threads there are, but for those that are left to hang."""
        hanging = sum(job is not None and job.is_hanging for job in self._threads.values())
        return len(self._threads) - min(hanging, HANGING)

    def _begin(self) -> None:
        """Begin another thread if there is work for it, and it may be and can be."""
        if not self._queue or self._working() >= THREADS:
            return
        # A daemon, so that the process can end although it hangs.
        thread = Thread(target=self._work, name="cache_invalidation", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # There are too many, or the interpreter is about to end.
            return
        self._threads[thread] = None

    def _work(self) -> None:
        thread = current_thread()
        while True:
            with self._lock:
                self._threads[thread] = None
                # One that hung may find another in its place.
                if not self._queue or self._working() > THREADS:
                    del self._threads[thread]
                    return
                job = self._threads[thread] = self._queue.popleft()
                job.begun = monotonic()
            job.context.run(_call, job.task)

    def wait(self, seconds: float) -> bool:
        """Wait until nothing is left to do, but not for longer; tell whether that is so."""
        deadline = monotonic() + seconds
        while (threads := self._snapshot()) and monotonic() < deadline:
            threads[0].join(max(0.0, deadline - monotonic()))
        return not threads

    def _snapshot(self) -> list[Thread]:
        with self._lock:
            return list(self._threads)

    def end(self) -> None:
        """Begin nothing any more, and wait for a moment for what was begun."""
        with self._lock:
            self._is_over = True
            self._queue.clear()
        self.wait(FAREWELL)


def _call(task: Task) -> None:
    try:
        with not_in_children(of_this_thread()):
            task()
    except BaseException:
        # Also one that would end the thread, while others are told that it is there.
        logger.exception("Something failed in the background of the cache.")
    finally:
        try:
            connections.close_all()
            caches.close_all()
        except Exception:
            logger.exception("A connection could not be closed.")


background = Background()

# The threads of the parent are not here, and one of them may have had the lock.
os.register_at_fork(after_in_child=background._forget)
atexit.register(background.end)
