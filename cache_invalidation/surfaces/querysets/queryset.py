"""`CachedQuerySet`: a queryset that says for how long its rows may be kept."""

from datetime import timedelta
from typing import Any, Self, TypeVar

from django.db.models import Model, QuerySet

from cache_invalidation.querying import NEVER, Wish, wish_for, wish_of, wishing
from cache_invalidation.reads.options import check_flags, checked_timeout
from cache_invalidation.reads.read import DEFAULT, Default
from cache_invalidation.stores.near import take_into_use

M = TypeVar("M", bound=Model, covariant=True)


class CachedQuerySet(QuerySet[M]):
    """A queryset whose rows can be kept until something changes that they were read from.

    ``objects = CachedQuerySet.as_manager()`` in a model, or a base of the project's own querysets.
    """

    def cached(
        self, timeout: float | timedelta | Default | None = DEFAULT, *, near: bool = False
    ) -> Self:
        """Return a queryset that asks the cache when it is evaluated, as all that derive from it.

        That is by iteration, ``get()``, ``count()``, ``exists()``, ``aggregate()``, ``values()``
        and whatever else reads, in coroutines as well, and what it prefetches. Each caller has
        instances of its own.

        `timeout` is in seconds or a `timedelta`, None for "until invalidated"; ``DEFAULT_TIMEOUT``
        if left out. With `near`, each process keeps the rows in its memory as well, and whoever
        changes them waits for that. Raises `ValueError` or `TypeError` for what cannot be used.

        To the database goes what locks rows, asks for the time or for random rows, or is read by
        ``iterator()``, and all of it in a transaction that has written to what is read, or that
        sees a snapshot.
        """
        check_flags("", near=near)
        if near:
            take_into_use()
        return self._wishing(Wish(True, checked_timeout(timeout), near))

    def uncached(self) -> Self:
        """Return a queryset that goes to the database, as all that derive from it.

        Also if ``QUERIES`` names the model.
        """
        return self._wishing(NEVER)

    def _wishing(self, wish: Wish) -> Self:
        found: Any = self._chain()  # type: ignore[attr-defined]
        wish_for(found.query, wish)
        return found  # type: ignore[no-any-return]

    def _prefetch_related_objects(self) -> None:
        with wishing(wish_of(self.query)):
            super()._prefetch_related_objects()  # type: ignore[misc]
