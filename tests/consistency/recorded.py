"""Cached functions without tags, the moments of a call at which a writer can step in, and writers.

The reader is the thread of the test. The writer has a thread and connections of its own.
"""

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from itertools import count
from threading import Event
from typing import Any, Final

from django.db import connections, transaction
from django.db.models import Count, Max

from cache_invalidation import cached
from cache_invalidation.stores import get_store
from tests.elsewhere import elsewhere
from tests.stores.steps import PATIENCE
from tests.testapp.models import Product

Action = Callable[[], Any]
Compute = Callable[[str, int], Any]

_numbers = count()


def _row(using: str, pk: int) -> Any:
    return Product.objects.using(using).get(pk=pk).name


def _list(using: str, pk: int) -> Any:
    return list(Product.objects.using(using).order_by("pk").values_list("name", flat=True))


def _aggregate(using: str, pk: int) -> Any:
    return Product.objects.using(using).aggregate(number=Count("pk"), last=Max("name"))


def _two_queries(using: str, pk: int) -> Any:
    # The same table twice, which has two states if somebody writes in between.
    return [_list(using, pk), _aggregate(using, pk)]


def _lazy(using: str, pk: int) -> Any:
    # Evaluated when it is encoded, after the function has returned.
    return Product.objects.using(using).filter(pk=pk).values_list("name", flat=True)


KINDS: Final[dict[str, Compute]] = {
    "row": _row,
    "list": _list,
    "aggregate": _aggregate,
    "two queries": _two_queries,
    "lazy": _lazy,
}


class Reader:
    """A cached function of its own, so that nothing is known of it yet."""

    def __init__(self, compute: Compute, using: str, pk: int) -> None:
        self.using = using
        self.function = cached(name=f"recorded reader {next(_numbers)}")(lambda: compute(using, pk))

    def __call__(self) -> Any:
        return _plain(self.function())

    def truth(self) -> Any:
        return _plain(self.function.uncached())

    def key(self) -> str:
        return self.function.key()

    def is_cached(self) -> bool:
        """Whether the next call would be a hit; without making it one."""
        place, declared = (
            get_store().entry_place(self.key()),
            self.function.tags.of_call({}, (), {}),
        )
        found = get_store().lookup(place, declared, with_further=True)
        if found.entry is None:
            return False
        versions = get_store().versions(sorted({*declared, *found.entry.further}))
        return found.entry.is_valid(versions)


def _plain(value: Any) -> Any:
    return value if isinstance(value, str | dict | list) else list(value)


class Once:
    """Does something when it is first called."""

    def __init__(self, action: Action) -> None:
        self.action = action
        self.is_done = False

    def __call__(self) -> None:
        if not self.is_done:
            self.is_done = True
            self.action()


@contextmanager
def _around_store(method: str, before: Action | None, after: Action | None) -> Iterator[None]:
    kind: Any = type(get_store())
    original = getattr(kind, method)

    def replaced(*args: Any, **kwargs: Any) -> Any:
        if before:
            before()
        result = original(*args, **kwargs)
        if after:
            after()
        return result

    setattr(kind, method, replaced)
    try:
        yield
    finally:
        setattr(kind, method, original)


def _after_lookup(using: str, action: Action) -> AbstractContextManager[None]:
    return _around_store("lookup", None, action)


def _before_fill(using: str, action: Action) -> AbstractContextManager[None]:
    return _around_store("fill", action, None)


@contextmanager
def before_further_versions(action: Action) -> Iterator[None]:
    """Step in when an entry was found, and the versions of its further tags are asked for."""
    with _around_store("versions", action, None):
        yield


def _around_query(
    using: str, number: int, action: Action, *, is_after: bool
) -> AbstractContextManager[None]:
    """Step in around the query with that number; on the inside of the watcher, that is."""
    numbers = count(1)

    def wrapper(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        is_due = sql.startswith("SELECT") and next(numbers) == number
        if is_due and not is_after:
            action()
        result = execute(sql, params, many, context)
        if is_due and is_after:
            action()
        return result

    return connections[using].execute_wrapper(wrapper)


def _after_sampling(using: str, action: Action) -> AbstractContextManager[None]:
    return _around_query(using, 1, action, is_after=False)


def _after_query(using: str, action: Action) -> AbstractContextManager[None]:
    return _around_query(using, 1, action, is_after=True)


@contextmanager
def _before_second_query(using: str, action: Action) -> Iterator[None]:
    """Step in before the watcher looks, that is, as if the function itself did."""
    with _around_query(using, 2, action, is_after=False):
        wrappers = connections[using].execute_wrappers
        wrappers.insert(0, wrappers.pop())
        try:
            yield
        finally:
            wrappers.append(wrappers.pop(0))  # Whoever has added one removes the last.


MOMENTS: Final[dict[str, Callable[[str, Action], AbstractContextManager[None]]]] = {
    "after the look-up": _after_lookup,
    "between sampling and query": _after_sampling,
    "between query and fetching": _after_query,
    "between two queries": _before_second_query,
    "just before the store": _before_fill,
}


class OpenTransaction:
    """A transaction of another thread that has written, and commits when it is told to."""

    def __init__(self, write: Action, using: str) -> None:
        self._write, self._using = write, using
        self._written, self._may_commit = Event(), Event()
        self._pool = ThreadPoolExecutor(1)
        self._future: Future[None] | None = None

    def write(self) -> None:
        self._future = self._pool.submit(self._run)
        assert self._written.wait(PATIENCE), "nothing was written"

    def commit(self) -> None:
        self._may_commit.set()
        if self._future is not None:
            self._future.result(PATIENCE)
        self._pool.shutdown()

    def _run(self) -> None:
        try:
            with transaction.atomic(using=self._using):
                self._write()
                self._written.set()
                assert self._may_commit.wait(PATIENCE), "nobody let it commit"
        finally:
            self._written.set()
            connections.close_all()


@contextmanager
def _at_once(write: Action, using: str) -> Iterator[Action]:
    yield lambda: elsewhere(write)


@contextmanager
def _commits_then(write: Action, using: str) -> Iterator[Action]:
    opened = OpenTransaction(write, using)
    opened.write()
    try:
        yield opened.commit
    finally:
        opened.commit()


@contextmanager
def _stays_open(write: Action, using: str) -> Iterator[Action]:
    opened = OpenTransaction(write, using)
    try:
        yield opened.write
    finally:
        opened.commit()


#: Blocks that give what the writer does at the moment in question; at their end it is done.
WRITERS: Final[dict[str, Callable[[Action, str], AbstractContextManager[Action]]]] = {
    "in autocommit": _at_once,
    "has written, and commits then": _commits_then,
    "writes then, and stays open": _stays_open,
}
