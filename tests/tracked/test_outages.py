"""A cache that is down, never answers, is full or refuses: what is cached by hand stays right.

See `tests.surfaces.test_outages`, which does the same with what the app caches.
"""

import pytest
import redis

from cache_invalidation.stores import get_store
from example_project.servers import ValkeyServer
from tests.outages import Use, use
from tests.stores.steps import wait_until
from tests.surfaces.asking import Asked
from tests.surfaces.by_hand import TRACKED, tracking
from tests.surfaces.test_outages import (
    Outage,
    check_that_it_is_cached_again,
    check_that_it_may_begin_before_the_store,
    name_of,
    outage,
    rename,
)
from tests.testapp.models import Product

__all__ = ["outage", "tracking", "use"]

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"]),
    pytest.mark.slow,
]

REFUSED = ["EVALSHA", "EVAL", "MGET", "GET", "SET"]


@pytest.fixture
def pk(tracking: None, use: Use, valkey: ValkeyServer) -> int:
    use(valkey.url)
    return int(Product.objects.create(name="old").pk)


def test_answers_are_right_and_all_is_cached_again_afterwards(
    pk: int, outage: Outage, valkey: ValkeyServer
) -> None:
    before = [Asked(kind, name_of) for kind in TRACKED]
    unknown = [Asked(kind, name_of) for kind in TRACKED]
    both = [*before, *unknown]
    for asked in before:
        asked.fill(pk)
        assert asked.is_hit(pk)
    with outage(valkey):
        assert [asked(pk) for asked in both] == ["old"] * len(both)
        rename(pk, "new")
        for _ in range(2):
            assert [asked(pk) for asked in both] == ["new"] * len(both)
        rename(pk, "newer")
    assert [asked(pk) for asked in both] == ["newer"] * len(both)
    wait_until(lambda: get_store().breaker.is_working)
    for asked in both:
        check_that_it_is_cached_again(asked, pk, "newer")


def test_an_outage_that_begins_between_the_query_and_the_store(
    pk: int, outage: Outage, valkey: ValkeyServer
) -> None:
    for kind in TRACKED:
        check_that_it_may_begin_before_the_store(kind, pk, outage, valkey)


@pytest.mark.parametrize("command", REFUSED)
def test_a_command_that_the_server_refuses(
    pk: int, command: str, use: Use, valkey: ValkeyServer
) -> None:
    use(valkey.url, FENCE_TIMEOUT=1)  # Nobody lowers a fence where that is refused.
    asked = [Asked(kind, name_of) for kind in TRACKED]
    for each in asked:
        each.fill(pk)
    with redis.Redis.from_url(valkey.url) as client:
        client.execute_command("ACL", "SETUSER", "default", f"-{command.lower()}")
        rename(pk, "new")
        for _ in range(2):
            assert [each(pk) for each in asked] == ["new"] * len(asked)
        rename(pk, "newer")
        assert [each(pk) for each in asked] == ["newer"] * len(asked)
        client.execute_command("ACL", "SETUSER", "default", f"+{command.lower()}")
    wait_until(lambda: get_store().breaker.is_working)
    for each in asked:
        check_that_it_is_cached_again(each, pk, "newer")
