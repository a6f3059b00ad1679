"""Entries and versions in a database table, through Django's `DatabaseCache`.

Where the table is in the database that is written to, fences and versions are part of the
transaction: they are rolled back with it, and become visible together with its rows.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from django.db import Error, connections, router

from cache_invalidation.connections import in_transaction
from cache_invalidation.exceptions import StoreRefused, StoreUnavailable
from cache_invalidation.stores.django_cache import DjangoCacheStore, standing_fences

ATTEMPTS: Final = 3

P = ParamSpec("P")
R = TypeVar("R")
Method = Callable[Concatenate["DatabaseCacheStore", P], R]


def _shielded(method: Callable[Concatenate[DjangoCacheStore, P], R]) -> Method[P, R]:
    """Keep what goes wrong in the cache table from the transaction that happens to be open."""

    @wraps(method)
    def call(self: "DatabaseCacheStore", /, *args: P.args, **kwargs: P.kwargs) -> R:
        with self._savepoints():
            return method(self, *args, **kwargs)

    return call


@contextmanager
def _savepoint(alias: str) -> Iterator[None]:
    # Not `atomic`: if the connection is gone, that leaves a block open which nobody ever closes.
    connection = connections[alias]
    sid = connection.savepoint()
    if sid is None:  # The database has none.
        yield
        return
    try:
        yield
        connection.savepoint_commit(sid)
    except BaseException:
        try:
            connection.savepoint_rollback(sid)
        except Error:
            # The transaction cannot be saved; whoever opened it is about to find out.
            connection.needs_rollback = connection.in_atomic_block
        raise


class DatabaseCacheStore(DjangoCacheStore):
    """The database cache. Its counters may lose some of what is counted at the same moment."""

    uses_database = True

    def _new_lock(self) -> AbstractContextManager[Any]:
        # Whoever waits for a row may wait for a transaction of another thread, and that thread
        # must not wait for him. The database sees to single rows, which is all that others get.
        return nullcontext()

    @contextmanager
    def _savepoints(self) -> Iterator[None]:
        """Open a savepoint in each transaction that the cache is about to take part in.

        A transaction that is broken already says nothing about the cache, so the breaker, which
        is asked inside of this, is left alone.
        """
        cache: Any = self._cache
        model = cache.cache_model_class
        try:
            with ExitStack() as stack:
                for alias in {router.db_for_read(model), router.db_for_write(model)}:
                    connection = connections[alias]
                    if connection.in_atomic_block and connection.needs_rollback:
                        raise StoreUnavailable(f"the transaction on {alias!r} is broken")
                    if in_transaction(connection):
                        stack.enter_context(_savepoint(alias))
                yield
        except Error as error:
            raise StoreUnavailable(f"{type(error).__name__}: {error}") from error

    def _set_many(self, fences: Mapping[str, Mapping[str, int]]) -> None:
        # Of two who insert the same row at the same time, one fails, and the cache keeps quiet.
        for _ in range(ATTEMPTS):
            super()._set_many(fences)
            found = self._cache.get_many(list(fences))
            fences = {
                name: {**standing_fences(found.get(name)), **writers}
                for name, writers in fences.items()
                if not writers.keys() <= standing_fences(found.get(name)).keys()
            }
            if not fences:
                return
        raise StoreRefused(f"could not set {sorted(fences)}")

    lookup = _shielded(DjangoCacheStore.lookup)
    versions = _shielded(DjangoCacheStore.versions)
    mint = _shielded(DjangoCacheStore.mint)
    fill = _shielded(DjangoCacheStore.fill)
    acquire = _shielded(DjangoCacheStore.acquire)
    release = _shielded(DjangoCacheStore.release)
    fence = _shielded(DjangoCacheStore.fence)
    deliver = _shielded(DjangoCacheStore.deliver)
    count = _shielded(DjangoCacheStore.count)
    details = _shielded(DjangoCacheStore.details)
    notes = _shielded(DjangoCacheStore.notes)
    mark_first = _shielded(DjangoCacheStore.mark_first)
    recent = _shielded(DjangoCacheStore.recent)
    learned = _shielded(DjangoCacheStore.learned)
    counters = _shielded(DjangoCacheStore.counters)
    counters_per_minute = _shielded(DjangoCacheStore.counters_per_minute)
    reset_counters = _shielded(DjangoCacheStore.reset_counters)
