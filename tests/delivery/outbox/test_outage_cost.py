"""What an outage costs each request: no attempt to connect, and no thread."""

import tempfile
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.db import connections, transaction

from cache_invalidation import invalidate
from cache_invalidation.stores import get_store
from tests.delivery.outbox.rows import names, rows
from tests.outages import Use, notice
from tests.stores.fake_server import Answer, FakeServer, silence
from tests.stores.steps import wait_until
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def directory() -> Iterator[Path]:
    # The path of a UNIX socket has room for about 100 bytes, and that of tmp_path is long.
    with tempfile.TemporaryDirectory() as name:
        yield Path(name)


def request() -> list[str]:
    """Read and write as a request does that knows nothing of the cache."""
    try:
        before = names()
        with transaction.atomic():
            Product.objects.create(name="a")
            invalidate(keys=["k"], patterns=["p*"])
        Product.objects.update(stock=1)
        names.invalidate()
        return before + names()
    finally:
        connections.close_all()


@pytest.mark.parametrize("answer", [None, silence])
def test_however_many_requests_nobody_connects_to_a_store_that_is_down(
    use: Use, directory: Path, answer: Answer | None
) -> None:
    with FakeServer(directory, answer) as server:
        use(server.url, socket_timeout=0.2, RETRY_INTERVAL=3600)
        notice()
        # The thread asks it once more at once, and then after an hour.
        wait_until(lambda: get_store().breaker.failures > 1)
        connected, asked = server.connections, server.requests
        with ThreadPoolExecutor(5) as pool:
            answers = [each.result() for each in [pool.submit(request) for _ in range(30)]]
        assert (server.connections, server.requests) == (connected, asked)
        waiting = [thread.name for thread in threading.enumerate()]
        assert waiting.count("cache_invalidation recovery of default") == 1
    assert all(set(answer) == {"a"} for answer in answers)
    assert len(rows()) == 3 * 30
