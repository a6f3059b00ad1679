"""A few threads for what nobody waits for, and what they take along from whoever has the idea."""

import atexit
import logging
import os
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from threading import Lock, Thread, current_thread
from time import monotonic
from typing import Any, Final

from django.core.cache import caches
from django.db import connections

logger = logging.getLogger("cache_invalidation")

THREADS: Final = 2
QUEUE: Final = 20  # tasks that wait for a thread

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


class Background:
    """Threads that end when there is nothing left to do, and end with the process."""

    def __init__(self) -> None:
        self._forget()

    def _forget(self) -> None:
        self._lock = Lock()
        self._queue: deque[tuple[Context, Task]] = deque()
        self._threads: set[Thread] = set()
        self._is_over = False

    def run(self, task: Task) -> bool:
        """Have a thread call `task`, in the context of the caller; tell whether there is room.

        The thread closes the connections that the task has opened.
        """
        context = context_of_caller()
        with self._lock:
            if self._is_over or len(self._queue) >= QUEUE:
                return False
            self._queue.append((context, task))
            if len(self._threads) < THREADS:
                # A daemon, since nobody can end one that hangs.
                thread = Thread(target=self._work, name="cache_invalidation", daemon=True)
                try:
                    thread.start()
                except RuntimeError:  # There are too many, or the interpreter is about to end.
                    if not self._threads:
                        self._queue.clear()
                        return False
                else:
                    self._threads.add(thread)
        return True

    def _work(self) -> None:
        while True:
            with self._lock:
                if not self._queue:
                    self._threads.discard(current_thread())
                    return
                context, task = self._queue.popleft()
            context.run(_call, task)

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
