"""`SQLCompiler.execute_sql` of Django is wrapped: rows come from the cache, or are kept there.

Rows, as the database returned them: each caller has them converted and makes instances of its own.
"""

from collections.abc import Sequence
from functools import cache
from time import sleep
from typing import Any, Final

from django.core.exceptions import EmptyResultSet
from django.db.migrations.executor import MigrationExecutor
from django.db.models import Model, QuerySet
from django.db.models.sql.compiler import (
    SQLCompiler,
    SQLDeleteCompiler,
    SQLInsertCompiler,
    SQLUpdateCompiler,
)
from django.db.models.sql.constants import GET_ITERATOR_CHUNK_SIZE, MULTI, SINGLE
from django.utils.asyncio import async_unsafe

from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.metrics.counters import counters
from cache_invalidation.querying import NEVER, uncached_queries, wish_for
from cache_invalidation.reads import results
from cache_invalidation.reads.dependencies import collecting
from cache_invalidation.reads.protocol import attempt
from cache_invalidation.reads.read import Read
from cache_invalidation.reads.storing import fail, finish
from cache_invalidation.stores import get_store
from cache_invalidation.surfaces.querysets import rows as kept_rows
from cache_invalidation.surfaces.querysets.keys import key_of
from cache_invalidation.surfaces.querysets.names import name_of
from cache_invalidation.surfaces.querysets.wanted import Wanted, refused, wanted
from cache_invalidation.tags import expand, function_tag
from cache_invalidation.wrapping import wrap

_WRITING: Final = (SQLDeleteCompiler, SQLInsertCompiler, SQLUpdateCompiler)


def install() -> None:
    """Have queries that are to be cached answered from the cache. May be called again."""
    wrap(SQLCompiler, "execute_sql", _execute)
    wrap(QuerySet, "iterator", _iterate)
    wrap(QuerySet, "aiterator", _iterate)
    wrap(MigrationExecutor, "migrate", _migrate)


def _migrate(method: Any, *args: Any, **kwargs: Any) -> Any:
    with uncached_queries():
        return method(*args, **kwargs)


def _iterate(method: Any, rows: Any, *args: Any, **kwargs: Any) -> Any:
    """Have the rows fetched one after the other, however the connection does that."""
    rows = rows._chain()
    wish_for(rows.query, NEVER)
    return method(rows, *args, **kwargs)


def _execute(
    method: Any,
    compiler: Any,
    result_type: Any = MULTI,
    chunked_fetch: bool = False,
    chunk_size: int = GET_ITERATOR_CHUNK_SIZE,
) -> Any:
    if isinstance(compiler, _WRITING):
        with uncached_queries():  # An update may ask first which rows it is about.
            return method(compiler, result_type, chunked_fetch, chunk_size)
    # Who iterates in a way of its own asks for chunks of another size at least.
    is_whole = not chunked_fetch and chunk_size == GET_ITERATOR_CHUNK_SIZE
    found = wanted(compiler) if is_whole and result_type in (MULTI, SINGLE) else None
    if found is None:
        return results.execute(method, compiler, result_type, chunked_fetch, chunk_size)
    try:
        text, params = compiler.as_sql()
    except EmptyResultSet:
        return method(compiler, result_type)
    return _Query(method, compiler, result_type, text, params).answer(found)


class _Query:
    """A SELECT whose rows are wanted to be kept."""

    def __init__(
        self, method: Any, compiler: Any, result_type: str, text: str, params: Sequence[Any]
    ) -> None:
        self._method = method
        self._compiler = compiler
        self._result_type = result_type
        self._compiled = text, params
        self._name = name_of(compiler.query.model)

    @async_unsafe  # A hit is no more allowed in a coroutine than the query is.
    def answer(self, wish: Wanted) -> Any:
        """Return what the method would: chunks of rows, or one row or None."""
        connection, (text, params) = self._compiler.connection, self._compiled
        found, reason = refused(wish, connection, text, params)
        if found is not None:
            try:
                key = key_of(self._name, connection, text, params, self._part(found))
            except TypeError:
                found, reason = None, "parameter"
        if found is None:
            if reason is not None:
                counters.add(f"unstored:{self._name}:{reason}")
            return self._run()
        tags = _tags(self._compiler.query.model)
        codec = kept_rows.Shared if found.near else kept_rows.Kept
        read = Read(
            self._name, key, tags, found.timeout, records=True, codec=codec, near=found.near
        )
        for pause in attempt(read):
            sleep(pause)
        return self._shown(read.value) if read.is_hit else self._compute(read)

    def _part(self, found: Wanted) -> str:
        """Return what tells apart rows of one text: how wide they are, and how old they may be."""
        return f"{self._result_type}:{self._compiler.col_count}:{found.timeout!r}"

    def _shown(self, rows: kept_rows.Rows) -> Any:
        if self._result_type == SINGLE:
            return rows[0] if rows else None
        return [rows] if rows else []

    def _run(self) -> Any:
        """Have the query executed that the key is made of, and not compiled again."""
        return results.execute(
            self._method, self._compiler, self._result_type, compiled=self._compiled
        )

    def _compute(self, read: Read) -> Any:
        dependencies = read.dependencies()
        try:
            with collecting(dependencies):
                result = self._run()
        except BaseException:
            fail(read, dependencies)
            counters.add(f"unstored:{read.name}:exception")
            raise
        if self._result_type == SINGLE:
            self._keep(read, [] if result is None else [result], dependencies)
            return result
        chunks = list(result)
        self._keep(read, [row for chunk in chunks for row in chunk], dependencies)
        return chunks

    @staticmethod
    def _keep(read: Read, rows: kept_rows.Rows, dependencies: Any) -> None:
        """Store the rows if that is allowed, and count why not. Nobody's query fails of it."""
        if not dependencies.tags:
            dependencies.storable = False  # Nobody has seen the query: another cache may answer it.
        try:
            payload = kept_rows.encode(rows, get_store()) if dependencies.storable else None
            reason = None if payload is not None else "dependencies"
        except StoreUnavailable:
            payload, reason = None, "unavailable"
        except kept_rows.TooManyError:
            payload, reason = None, "size"
        except Exception:  # noqa: BLE001 - serializers raise what they like
            payload, reason = None, "value"
        if payload is None:
            if reason is None or (dependencies.storable and not read.storable):
                reason = "unavailable"
            fail(read, dependencies, (reason,))
        else:
            reason = finish(read, payload, dependencies)
        if reason is not None:
            counters.add(f"unstored:{read.name}:{reason}")


@cache
def _tags(model: type[Model]) -> tuple[str, ...]:
    return expand([function_tag(name_of(model))])
