"""Nothing is noted in the store by chance."""

from collections.abc import Iterator
from contextlib import contextmanager
from math import inf
from unittest import mock

from cache_invalidation.reads import hottest, measured, one_by_one


@contextmanager
def unsampled() -> Iterator[None]:
    """Note no hit, mark no entry and watch no request, of which else one of so many is."""
    with (
        mock.patch.object(hottest, "SAMPLED", inf),
        mock.patch.object(measured, "SAMPLED", inf),
        mock.patch.object(one_by_one, "SAMPLED", inf),
    ):
        yield
