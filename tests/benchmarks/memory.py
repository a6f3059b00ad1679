"""What entries and invalidations leave in the cache server."""

from collections.abc import Callable, Iterator
from time import sleep
from typing import Any

from django.core.cache import cache
from django.db import transaction
from django.test import override_settings

from cache_invalidation import cached, invalidate
from cache_invalidation.conf import configured
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import NAMESPACE, new_token
from tests.benchmarks import payloads
from tests.benchmarks.server import CacheServer, no_flush
from tests.benchmarks.table import Row
from tests.benchmarks.timing import Scale

TIMEOUT = 300  # seconds
FENCE_TIMEOUT = 0.5  # seconds
TAGS_AT_ONCE = 100  # few enough to stay themselves
_COUNTED = f"{NAMESPACE}{{counters}}"


# Names as long as they usually are: module and function.
@cached(tags="testapp.category:{pk}", name="shop.views.category_detail", timeout=TIMEOUT)
def category(pk: int) -> dict[str, Any]:
    return payloads.small(pk)


@cached(tags="testapp.product:{pk}", name="shop.views.product_detail", timeout=TIMEOUT)
def product(pk: int) -> dict[str, Any]:
    """Return what has a version for the many-to-many relations of the row as well."""
    return payloads.small(pk)


def measure(scale: Scale) -> Iterator[Row]:
    """Measure small entries, and what is left of tags that nobody read."""
    bare = _bytes_each(lambda pk: cache.set(f"product:{pk}", payloads.small(pk), TIMEOUT), scale)
    ours = _bytes_each(category, scale)
    yield _against_set("with the version of its row", ours, bare)
    yield _against_set("with those of its row and its relations", _bytes_each(product, scale), bare)
    yield Row(
        name="memory: small entry with the version of its row",
        unit="bytes",
        ours=ours,
        figure=ours,
        budget=480,
    )
    left = _left_behind(scale)
    yield Row(
        name=f"memory: keys left by {scale.entries:,} invalidations of unread tags",
        unit="",
        ours=left,
        figure=left,
        budget=0,
    )


def _against_set(what: str, ours: float, bare: float) -> Row:
    return Row(
        name=f"memory: small entry {what}, to cache.set",
        unit="bytes",
        baseline=bare,
        ours=ours,
        kind="ratio",
        figure=ours / bare,
    )


def _bytes_each(store: Callable[[int], Any], scale: Scale) -> float:
    server = CacheServer()
    with no_flush():
        # What the server needs once, such as the compiled scripts, is not counted.
        store(10**9)
        server.empty()
        before = server.memory()
        for pk in range(scale.entries):
            store(pk)
        after = server.memory() - _counting(server)
        server.empty()
    return (after - before) / scale.entries


def _counting(server: CacheServer) -> int:
    """Return the bytes of what is counted: as many for ten thousand entries as for a million."""
    found = server.client.scan_iter(cache.make_key(f"{_COUNTED}*"), count=1000)
    return sum(int(server.client.memory_usage(key, samples=0) or 0) for key in found)


def _left_behind(scale: Scale) -> int:
    """Invalidate in transactions, and let as many fences stand as a killed writer would."""
    server = CacheServer()
    with no_flush():
        server.empty()
        with override_settings(
            CACHE_INVALIDATION={**configured(), "FENCE_TIMEOUT": FENCE_TIMEOUT},
        ):
            for start in range(0, scale.entries, TAGS_AT_ONCE):
                tags = [f"unread:{number}" for number in range(start, start + TAGS_AT_ONCE)]
                if start // TAGS_AT_ONCE % 2:
                    with transaction.atomic():
                        invalidate(tags=tags)
                else:
                    get_store().fence(tags, [], new_token())
        sleep(FENCE_TIMEOUT * 1.5)
        # Looking for keys is what makes the server notice that they have expired.
        counted = cache.make_key(_COUNTED).encode()
        return sum(not key.startswith(counted) for key in server.client.scan_iter(count=1000))
