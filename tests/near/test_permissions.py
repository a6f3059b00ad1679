"""A user of the server who may do what docs/how-to/deployment.md asks for, and nothing else."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import redis
from django.core.management import call_command

from cache_invalidation import cached
from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.stores import get_store
from example_project.servers import ValkeyServer
from tests.checks.reporting import with_redis_at
from tests.near.conftest import has_lease, until
from tests.operations.test_warming import every_hit_is_noted
from tests.testapp.models import Product

__all__ = ["every_hit_is_noted"]

pytestmark = pytest.mark.django_db(transaction=True)

DEPLOYMENT: Final = Path(__file__).parents[2] / "docs/how-to/deployment.md"


@pytest.fixture(autouse=True)
def long_leases() -> None:
    """This server is a new one, so a writer waits for a whole lease."""


@pytest.fixture
def restricted() -> Iterator[redis.Redis]:
    """The administrator of a server where the app is that user."""
    text = re.search(r"\*\*Permissions\.\*\*.*?`(\+[^`]*)`", DEPLOYMENT.read_text(), re.DOTALL)
    assert text
    with ValkeyServer() as server, redis.Redis.from_url(server.url) as client:
        names = ["~checks:1:ci:*", "~ci:n:*", "&ci:n:*"]
        client.execute_command("ACL", "SETUSER", "app", "on", ">pw", *names, *text[1].split())
        with with_redis_at(server.url, USERNAME="app", PASSWORD="pw"):
            yield client


@cached(near=True, lock=True, refresh=True, timeout=300)
def name_of(pk: int) -> str:
    return Product.objects.get(pk=pk).name


def test_the_permissions_that_are_documented_are_enough(restricted, every_hit_is_noted):
    product = Product.objects.create(name="old")
    store: Any = get_store()
    until(lambda: has_lease(store))
    for name in ("new", "newer"):
        Product.objects.update(name=name)
        assert [name_of(product.pk) for _ in range(3)] == [name] * 3
    assert len(store.near.memory) == 1
    name_of.invalidate(product.pk)
    counters.flush()
    assert read_metrics()["near_hits"]
    call_command("warm_cache")
    call_command("check_cache_consistency")
    call_command("invalidate_cache", everything=True, yes=True)
    call_command("reset_cache_metrics")
    refused = {entry["object"] for entry in restricted.acl_log()}
    # A client tells its name and version, if it may.
    assert refused <= {"client|setinfo"}


@pytest.mark.parametrize(
    ("command", "message", "levels"),
    [
        ("subscribe", "grants no leases", ["WARNING"]),
        ("hset", "Nothing is kept near", ["WARNING", "INFO", "INFO"]),
    ],
)
def test_a_permission_that_is_missing_is_told_once(restricted, caplog, command, message, levels):
    caplog.set_level("INFO", "cache_invalidation")
    restricted.execute_command("ACL", "SETUSER", "app", f"-{command}")
    product = Product.objects.create(name="old")

    def told() -> list[str]:
        assert name_of(product.pk) == "old"
        store: Any = get_store()
        # The thread of a test before may have something to say as well, of a server that is gone.
        records = [each for each in caplog.records if each.thread == store.near._thread.ident]
        return [each.levelname for each in records if message in each.getMessage()]

    until(lambda: len(told()) >= len(levels))
    assert told()[: len(levels)] == levels
    Product.objects.update(name="new")
    assert name_of(product.pk) == "new"
