"""Nothing is noted in the store by chance."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from unittest import mock

from cache_invalidation.reads import hottest, measured


@contextmanager
def unsampled() -> Iterator[None]:
    """Note none of the hits, and mark none of the entries, of which else one of so many is."""
    with (
        mock.patch.object(hottest, "SAMPLED", inf),
        mock.patch.object(measured, "SAMPLED", inf),
    ):
        yield
