"""The rows that a query of the ORM returns, for recorders that depend on which these are."""

from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db.models.sql.constants import GET_ITERATOR_CHUNK_SIZE, MULTI, SINGLE

from cache_invalidation.context import during
from cache_invalidation.observing.rows_written import analyze
from cache_invalidation.observing.watcher import journal, recorder
from cache_invalidation.sql import Statement

Rows = Sequence[Sequence[Any]]


class Result:
    """What `statement` is going to return. Each of `waiting` is called with it, once it is there.

    With None, if it never is.
    """

    def __init__(self, statement: Statement) -> None:
        self.statement = statement
        self.waiting: list[Callable[[Rows | None], None]] = []


_expected: ContextVar[Result | None] = ContextVar("cache_invalidation_result", default=None)


def result_of(statement: Statement) -> Result | None:
    """Return the result that is waited for while `statement` is executed, if that is whole."""
    expected = _expected.get()
    return expected if expected is not None and expected.statement == statement else None


def execute(
    method: Any,
    compiler: Any,
    result_type: Any,
    chunked_fetch: bool = False,
    chunk_size: int = GET_ITERATOR_CHUNK_SIZE,
    compiled: tuple[str, Any] | None = None,
) -> Any:
    """Have `SQLCompiler.execute_sql`, which is `method`, execute a SELECT; return what it does.

    It is not compiled again if it is `compiled`, which takes long.
    """
    arguments = (compiler, result_type, chunked_fetch, chunk_size)
    if compiled is None:
        is_recorded = recorder.get() is not None or journal.get() is not None
        if not is_recorded or chunked_fetch or result_type not in (MULTI, SINGLE):
            return method(*arguments)
        try:
            compiled = compiler.as_sql()
        except EmptyResultSet:
            return method(*arguments)
    statement = analyze(compiler.connection, compiled[0])
    expected = Result(statement) if statement.joins else None
    rows: Rows | None = None
    compiler.as_sql = lambda: compiled
    try:
        with during(_expected, expected):
            result = method(*arguments)
        if expected is not None and expected.waiting:
            rows, result = _rows(result, result_type)
        return result
    finally:
        del compiler.as_sql
        for tell in () if expected is None else expected.waiting:
            tell(rows)


def _rows(result: Any, result_type: str) -> tuple[Rows, Any]:
    """Return the rows in what was returned, and what to return instead: an iterator is used up."""
    if result_type == SINGLE:
        return ([] if result is None else [result]), result
    chunks = [] if result is None else list(result)
    return [row for chunk in chunks for row in chunk], (None if result is None else chunks)
