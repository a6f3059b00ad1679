"""A cache that is down, that never answers, or that is full: the right answer, and nothing raises.

Nothing is stored then that would be wrong later, and once it is back all is cached again.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any
from unittest import mock

import pytest
import redis
from redis.connection import UnixDomainSocketConnection

from cache_invalidation.stores import get_store
from cache_invalidation.surfaces.pages.visits import Visit
from example_project.servers import ValkeyServer
from tests.delivered import update_behind_the_back
from tests.outages import Use, frozen
from tests.stores.steps import wait_until
from tests.surfaces.asking import KINDS, Asked
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(transaction=True)

SHORT = 0.05  # seconds that an answer is waited for; where there is none, it never comes


@contextmanager
def down(server: ValkeyServer) -> Iterator[None]:
    """Nobody listens; what it held is gone afterwards."""
    server.kill()
    yield
    server.start()


@contextmanager
def silent(server: ValkeyServer) -> Iterator[None]:
    """Connections are accepted, and nothing is ever said; what it held is gone afterwards."""
    connect: Any = UnixDomainSocketConnection._connect

    def connect_for_a_while(connection: Any) -> socket.socket:
        # A server that is only slow must not be taken for a silent one, so the others are patient.
        connected: socket.socket = connect(connection)
        connected.settimeout(SHORT)
        return connected

    server.stop()
    server.socket.unlink(missing_ok=True)
    with (
        mock.patch.object(UnixDomainSocketConnection, "_connect", connect_for_a_while),
        socket.socket(socket.AF_UNIX) as listener,
    ):
        listener.bind(str(server.socket))
        # Nobody takes a connection out of the queue, so there has to be room for all retries.
        listener.listen(4096)
        yield
    server.socket.unlink()
    server.start()


@contextmanager
def full(server: ValkeyServer) -> Iterator[None]:
    """What would take memory is refused, and the rest is answered."""
    with redis.Redis.from_url(server.url) as client:
        client.config_set("maxmemory-policy", "noeviction")
        client.config_set("maxmemory", 1)
        with pytest.raises(redis.ResponseError, match="maxmemory"):
            client.set("something", "1")
        yield
        client.config_set("maxmemory", 0)


Outage = Callable[[ValkeyServer], AbstractContextManager[None]]
OUTAGES: dict[str, Outage] = {"down": down, "silent": silent, "frozen": frozen, "full": full}


def name_of(pk: int) -> str:
    return Product.objects.get(pk=pk).name


def rename(pk: int, name: str) -> None:
    product = Product.objects.get(pk=pk)
    product.name = name
    product.save()


def check_that_it_is_cached_again(asked: Asked, pk: int, name: str) -> None:
    assert asked(pk) == name
    wait_until(lambda: asked.is_hit(pk))
    update_behind_the_back(Product.objects.filter(pk=pk), name="unseen")
    assert asked(pk) == name, "it is not cached"
    rename(pk, f"{name}, again")
    asked.prepare(pk)
    assert asked(pk) == f"{name}, again"
    assert asked.is_hit(pk)
    rename(pk, name)


@pytest.fixture(params=OUTAGES)
def outage(request: pytest.FixtureRequest) -> Outage:
    return OUTAGES[request.param]


@pytest.fixture
def known(use: Use, valkey: ValkeyServer) -> tuple[list[Asked], int]:
    """What is cached before the outage, and of which row."""
    use(valkey.url)
    pk = Product.objects.create(name="old").pk
    known = [Asked(kind, name_of) for kind in KINDS]
    for asked in known:
        assert asked(pk) == "old"
        assert asked.is_hit(pk)
    return known, pk


def test_answers_are_right_and_all_is_cached_again_afterwards(
    known: tuple[list[Asked], int], outage: Outage, valkey: ValkeyServer
) -> None:
    before, pk = known
    unknown = [Asked(kind, name_of) for kind in KINDS]
    with outage(valkey):
        assert [asked(pk) for asked in [*before, *unknown]] == ["old"] * 12
        rename(pk, "new")
        for _ in range(2):
            assert [asked(pk) for asked in [*before, *unknown]] == ["new"] * 12
        rename(pk, "newer")
    # Whatever was stored meanwhile, and whoever asks first.
    assert [asked(pk) for asked in [*before, *unknown]] == ["newer"] * 12
    wait_until(lambda: get_store().breaker.is_working)
    for asked in [*before, *unknown]:
        check_that_it_is_cached_again(asked, pk, "newer")


def check_that_it_may_begin_before_the_store(
    kind: str, pk: int, outage: Outage, valkey: ValkeyServer
) -> None:
    """Have the `outage` begin when the row was read and nothing is stored yet."""
    with ExitStack() as stack:

        def begin(pk: int) -> str:
            name = name_of(pk)
            stack.enter_context(outage(valkey))
            return name

        asked = Asked(kind, begin)
        assert asked(pk) == "old"
        asked.compute = name_of
        rename(pk, "new")
        assert asked(pk) == asked(pk) == "new"
    wait_until(lambda: get_store().breaker.is_working)
    check_that_it_is_cached_again(asked, pk, "new")
    rename(pk, "old")


def test_an_outage_that_begins_between_the_query_and_the_store(
    known: tuple[list[Asked], int], outage: Outage, valkey: ValkeyServer
) -> None:
    _, pk = known
    for kind in KINDS:
        check_that_it_may_begin_before_the_store(kind, pk, outage, valkey)


def test_nothing_that_is_asked_for_the_first_time_meanwhile_counts_as_stored(
    known: tuple[list[Asked], int],
    outage: Outage,
    valkey: ValkeyServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    _, pk = known
    unknown = [Asked(kind, name_of) for kind in KINDS]
    visits: list[Visit] = []
    end = Visit.end

    def noting(self: Visit, final: object) -> None:
        end(self, final)  # type: ignore[arg-type]
        visits.append(self)

    monkeypatch.setattr(Visit, "end", noting)
    with outage(valkey):
        for asked in unknown:
            assert not asked.is_hit(pk)
            assert not asked.is_hit(pk)
    assert len(visits) == 8  # two pages, two responses, each twice
    assert not any(visit.is_stored for visit in visits)
    assert all(visit.reasons for visit in visits)
