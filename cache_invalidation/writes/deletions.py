"""What Django deletes together, so that nothing is told of relations that go along with a row.

A statement on the table of a relation does not say whether `clear()` has sent it, or the deletion
of a row at one end. It is the collector that knows. Its `delete` is not documented by Django; what
is relied on is covered by tests on every supported version.
"""

from functools import wraps
from itertools import chain
from typing import Any

from django.db.models.deletion import Collector

from cache_invalidation.observing.many_to_many import deleting, going_along, is_along, loaded_among
from cache_invalidation.rules import catalog
from cache_invalidation.writes.wrapping import is_wrapped, wrap


def install() -> None:
    """Wrap `Collector.delete`. May be called again."""
    wrap(Collector, "delete", _observed)


def is_installed() -> bool:
    """Whether deletions are observed."""
    return is_wrapped(Collector, "delete")


def _observed(delete: Any, collector: Any) -> Any:
    models = chain(collector.data, (rows.model for rows in collector.fast_deletes))
    if catalog.many_to_many().keys().isdisjoint(models):
        return delete(collector)
    for rows in collector.fast_deletes:
        if rows.model in catalog.many_to_many() and is_along(rows.model, collector.data):
            rows._raw_delete = _along(rows._raw_delete)
    with deleting(loaded_among(collector.data)):
        return delete(collector)


def _along(raw_delete: Any) -> Any:
    @wraps(raw_delete)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        with going_along():
            return raw_delete(*args, **kwargs)

    return wrapper
