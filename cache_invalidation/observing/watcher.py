"""The SQL watcher: every statement that goes through a Django cursor passes here.

It is an entry of `connection.execute_wrappers`, and looks at what passes; it changes nothing. What
is read goes to whoever records it, what is written to the one that was installed with it.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, Protocol

from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper

from cache_invalidation.connections import is_on_each, off_each, on_each
from cache_invalidation.context import during
from cache_invalidation.metrics.counters import counters
from cache_invalidation.observing.rows_written import ANYTHING, analyze
from cache_invalidation.querying import uncached_queries
from cache_invalidation.sql import Statement

logger = logging.getLogger("cache_invalidation")


class Recorder(Protocol):
    """Takes note of what a statement reads."""

    def reads(
        self, statement: Statement, params: Any, many: bool, connection: BaseDatabaseWrapper, /
    ) -> None:
        """Take note of what `statement` is about to read."""

    def reads_unknown(self, text: str, /) -> None:
        """Take note that a statement has read what no model stands for."""


class Writer(Protocol):
    """Has a statement executed that writes to tables of models; returns what that returns."""

    def __call__(
        self,
        execute: Callable[[], Any],
        statement: Statement,
        params: Any,
        many: bool,
        context: dict[str, Any],
        /,
    ) -> Any: ...


#: Who wants to know what is read in this thread or task.
recorder: ContextVar[Recorder | None] = ContextVar("cache_invalidation_recorder", default=None)


#: Who wants to know, besides, what is read in all of a request, or another unit of work.
journal: ContextVar[Recorder | None] = ContextVar("cache_invalidation_journal", default=None)

#: What begins one where there is none yet, if anybody wants to know.
begin_journal: Callable[[], Recorder] | None = None


def journal_now() -> Recorder | None:
    """Return who wants to know of all that is read now, if anybody does."""
    found = journal.get()
    return begin_journal() if found is None and begin_journal is not None else found


@contextmanager
def unrecorded() -> Iterator[None]:
    """Keep queries of our own from being taken for what the project reads, and from the cache."""
    with during(recorder, None), during(journal, _SILENT), uncached_queries():
        yield


class _Silent:
    """Takes no note of anything."""

    def reads(self, *about: Any) -> None: ...
    def reads_unknown(self, text: str) -> None: ...


_SILENT: Final = _Silent()
_NOBODY: Final[Sequence[Recorder]] = ()


class Watcher:
    """An ``execute_wrapper`` that stays."""

    def __init__(self, write: Writer) -> None:
        self.write = write

    def writes(self, sql: Any, connection: BaseDatabaseWrapper) -> bool:
        """Whether a statement may write to the table of a model."""
        try:
            return bool(analyze(connection, _text(sql, connection)).writes)
        except Exception:  # noqa: BLE001 - it is logged when it is executed
            return True

    def __call__(
        self, execute: Any, sql: Any, params: Any, many: bool, context: dict[str, Any]
    ) -> Any:
        connection = context["connection"]
        try:
            text = sql if type(sql) is str else _text(sql, connection)
            statement = analyze(connection, text)
        except Exception:
            logger.exception("A statement could not be looked at; it may have written anything.")
            counters.update({"failed": 1})
            text, statement = repr(sql), ANYTHING
        recorders = _recorders()
        is_known = statement.reads or statement.writes
        if is_known:
            for recording in recorders:
                _record(recording.reads, statement, params, many, connection)
        if statement.writes or statement.boundaries or statement is ANYTHING:
            run = partial(execute, sql, params, many, context)
            result = self.write(run, statement, params, many, context)
        else:
            result = execute(sql, params, many, context)
        if recorders and (
            statement.reads_others or (not is_known and context["cursor"].description)
        ):
            for recording in recorders:
                _record(recording.reads_unknown, text)
        return result


def _recorders() -> Sequence[Recorder]:
    """Return who wants to know what is read now: what is computed before what it is a part of."""
    inner, unit = recorder.get(), journal_now()
    if inner is None and unit is None:
        return _NOBODY  # As for most statements, each of which comes here.
    return [each for each in (inner, unit) if each is not None]


def _text(sql: Any, connection: BaseDatabaseWrapper) -> str:
    """Return the text of a statement that may not be plain text, such as psycopg's ``Composed``."""
    if isinstance(sql, str):
        return sql
    if isinstance(sql, bytes):
        return sql.decode(errors="replace")
    try:
        return str(sql.as_string(connection.connection))
    except Exception:  # noqa: BLE001 - whatever it is, the driver may know what to do with it
        return str(sql)


def _record(record: Callable[..., None], *about: Any) -> None:
    try:
        record(*about)
    except Exception:
        # The query is the project's own, and has to run.
        logger.exception("What a cached function reads could not be recorded.")
        counters.update({"failed": 1})


_RECEIVER: Final = "cache_invalidation.observing.watcher"

_installed: list[Watcher] = []


def install(write: Writer) -> None:
    """Watch every connection there is and will be, until `uninstall`. May be called again."""
    uninstall()
    _installed.append(Watcher(write))
    on_each(_watch, _RECEIVER)


def is_installed() -> bool:
    """Whether the open connections of this thread are watched, and all others will be."""
    return is_on_each(_is_watched, _RECEIVER)


def uninstall() -> None:
    """Watch no connection of this thread any more, and none that is opened later."""
    off_each(_unwatch, _RECEIVER)
    _installed.clear()


def _is_watched(connection: BaseDatabaseWrapper) -> bool:
    return any(isinstance(each, Watcher) for each in connection.execute_wrappers)


def _watch(connection: BaseDatabaseWrapper) -> None:
    # One that creates databases, for instance, belongs to no alias.
    known = connection.alias in connections.settings
    if known and not _is_watched(connection):
        # First, because a block of the project removes the last one when it ends.
        connection.execute_wrappers.insert(0, _installed[0])


def _unwatch(connection: BaseDatabaseWrapper) -> None:
    wrappers = connection.execute_wrappers
    wrappers[:] = [each for each in wrappers if not isinstance(each, Watcher)]
