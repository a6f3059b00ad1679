"""What came out at the far end, and how to write so that nothing does."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from typing import Any

import redis
from django.db import connections
from django.db.models import QuerySet
from django.db.models.sql import UpdateQuery

from cache_invalidation import Invalidation
from cache_invalidation.metrics.counters import counters
from cache_invalidation.signals import invalidated
from tests.unsampled import unsampled


class Delivered(list[Invalidation]):
    """The batches delivered, one `Invalidation` each; the attributes are all of them together."""

    @property
    def tags(self) -> set[str]:
        return {tag for batch in self for tag in batch.tags}

    @property
    def keys(self) -> set[str]:
        return {key for batch in self for key in batch.keys}

    @property
    def patterns(self) -> set[str]:
        return {pattern for batch in self for pattern in batch.patterns}

    def family(self, name: str) -> set[str]:
        """Return the tags that begin with `name` and a colon."""
        return {tag for tag in self.tags if tag.startswith(f"{name}:")}


@contextmanager
def delivered() -> Iterator[Delivered]:
    """Record what is delivered until the block ends."""
    found = Delivered()

    def record(sender: Any, invalidation: Invalidation, **kwargs: Any) -> None:
        found.append(invalidation)

    invalidated.connect(record)
    try:
        yield found
    finally:
        invalidated.disconnect(record)


def update_behind_the_back(rows: QuerySet[Any], **values: Any) -> None:
    """Update `rows` as another program would, of which no cache is told.

    It does not pass through a cursor of Django's, so not even a transaction that is open takes
    note. What is still read as it was before has come from the cache.
    """
    query: Any = rows.query.chain(UpdateQuery)
    query.add_update_values(values)
    connection: Any = connections[rows.db]
    connection.ensure_connection()
    with closing(connection.create_cursor()) as cursor:
        cursor.execute(*query.get_compiler(rows.db).as_sql())
        assert cursor.rowcount > 0, "nothing was written, so this proves nothing"


@contextmanager
def commands(client: redis.Redis) -> Iterator[dict[str, int]]:
    """Count the commands that the server gets until the block ends, by name; see them afterwards.

    The block has to be shorter than ``METRICS_FLUSH_INTERVAL``, or flushing is counted as well.
    """
    counts: dict[str, int] = {}
    counters.flush()
    client.config_resetstat()
    with unsampled():
        yield counts
    stats: Any = client.info("commandstats")
    for name, stat in stats.items():
        command = name.removeprefix("cmdstat_")
        if command not in ("config|resetstat", "info"):
            counts[command] = stat["calls"]
