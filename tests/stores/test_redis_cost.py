"""What reads and writes cost: round trips, and commands as the server counts them."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
from django.db import transaction

from cache_invalidation import cached, invalidate
from cache_invalidation.metrics.counters import counters
from cache_invalidation.stores import get_store
from example_project.servers import ValkeyServer
from tests.round_trips import round_trips
from tests.testapp.models import Category, Product
from tests.unsampled import unsampled

pytestmark = pytest.mark.django_db(transaction=True)

Measure = Callable[[], Any]


@dataclass
class Cost:
    round_trips: int = 0
    commands: dict[str, int] = field(default_factory=dict)


@pytest.fixture
def cost(settings: Any, valkey: ValkeyServer) -> Iterator[Measure]:
    """What a block costs, on a server that nobody else uses."""
    settings.CACHES = settings.CACHES | {
        "default": settings.CACHES["default"] | {"LOCATION": valkey.url}
    }
    settings.CACHE_INVALIDATION = {"METRICS_FLUSH_INTERVAL": 3600}
    counters.discard()
    counters.flush()  # The next one is due in an hour, and not in the middle of a test.
    with unsampled(), redis.Redis.from_url(valkey.url) as client:

        @contextmanager
        def measure() -> Iterator[Cost]:
            get_store().versions(["connect before counting"])
            cost = Cost()
            client.config_resetstat()
            with round_trips() as trips:
                yield cost
            cost.round_trips = trips.number
            stats: Any = client.info("commandstats")
            for name, numbers in stats.items():
                command = name.removeprefix("cmdstat_")
                if command != name and command not in ("config|resetstat", "info"):
                    cost.commands[command] = numbers["calls"]

        yield measure


@pytest.fixture
def page() -> Any:
    @cached(tags=[Product, "category:{category_id}"])
    def page(category_id: int) -> str:
        return f"page {category_id}"

    return page


def test_a_hit_is_one_mget_and_nothing_else(cost: Measure, page: Any):
    page(1)
    with cost() as hit:
        assert page(1) == "page 1"
    assert hit.commands == {"mget": 1}
    assert hit.round_trips == 1


def test_a_hit_of_a_page_with_further_tags_is_one_mget_once_they_are_known(
    cost: Measure, page: Any
):
    @cached(tags=["site"])
    def site() -> str:
        return f"{page(1)} {page(2)}"

    site()
    site()
    with cost() as hit:
        site()
    assert hit.commands == {"mget": 1}


def test_so_is_one_of_what_turned_out_to_depend_on_nothing_else(cost: Measure):
    @cached
    def nothing() -> str:
        return "nothing"

    nothing()
    with cost() as hit:
        assert nothing() == "nothing"
    assert hit.commands == {"mget": 1}


def test_many_are_looked_up_with_one_mget_that_names_each_key_once(cost: Measure, page: Any):
    for number in range(10):
        page(number)
    store = get_store()
    reads = [page._read((number,), {}) for number in range(10)]
    wanted = [(store.entry_place(read.key), read.tags) for read in reads]
    with cost() as many:
        found = store.lookup_many(wanted)
    assert store.looks_at_many
    assert many.commands == {"mget": 1}
    assert many.round_trips == 1
    assert found == [store.lookup(entry, tags) for entry, tags in wanted]


def test_a_miss_is_a_look_a_mint_and_a_fill(cost: Measure, page: Any):
    with cost() as miss:
        page(1)
    assert miss.round_trips == 3
    # The root, the model and its relations, the category with its family, and the function; then
    # the value.
    assert miss.commands.pop("set") == 7
    assert {name: miss.commands[name] for name in ("mget", "eval")} == {"mget": 1, "eval": 1}
    page(2)
    with cost() as miss_under_known_tags:
        invalidate(keys=["unrelated"])
    with cost() as hit:
        page(2)
    assert hit.round_trips == miss_under_known_tags.round_trips == 1


@pytest.mark.parametrize("saves", [1, 10, 1000])
def test_a_transaction_costs_two_round_trips_whatever_the_saves(
    cost: Measure, page: Any, saves: int
):
    page(1)
    with cost() as write, transaction.atomic():
        for number in range(saves):
            Product.objects.create(name=str(number))
    assert write.round_trips == 2
    # The fence; then, sent together, its lifting and the counts.
    assert write.commands["eval"] == 3


def test_nested_blocks_cost_what_one_does(cost: Measure, page: Any):
    page(1)
    with cost() as write, ExitStack() as stack:
        for depth in range(10):
            stack.enter_context(transaction.atomic(savepoint=depth % 3 > 0))
            Product.objects.create(name="before")
            with transaction.atomic():
                Product.objects.create(name="inside")
            with pytest.raises(ZeroDivisionError), transaction.atomic():
                Product.objects.create(name="rolled back")
                raise ZeroDivisionError
    assert write.round_trips == 2
    assert write.commands["eval"] == 3
    assert Product.objects.count() == 20


def test_a_save_in_autocommit_costs_what_a_transaction_does(cost: Measure, page: Any):
    page(1)
    with cost() as write:
        Product.objects.create(name="a")
    assert write.round_trips == 2


def test_without_fences_a_transaction_costs_one_round_trip(cost: Measure, page: Any, settings):
    settings.CACHE_INVALIDATION |= {"CONSISTENCY": "commit"}
    page(1)
    with cost() as write, transaction.atomic():
        Product.objects.create(name="a")
        Product.objects.create(name="b")
    assert write.round_trips == 1


def test_a_rolled_back_transaction_costs_nothing(cost: Measure, page: Any):
    page(1)
    with cost() as write, pytest.raises(ZeroDivisionError), transaction.atomic():
        Product.objects.create(name="a")
        raise ZeroDivisionError
    assert write.round_trips == 0


def test_a_transaction_that_writes_nothing_of_interest_costs_nothing(cost: Measure):
    with cost() as write, transaction.atomic():
        list(Category.objects.all())
    assert write.round_trips == 0


def test_reads_are_counted_without_a_round_trip_of_their_own(cost: Measure, page: Any):
    page(1)
    with cost() as hits:
        for _ in range(100):
            page(1)
    assert hits.commands == {"mget": 100}
    with cost() as flush:
        counters.flush()
    assert flush.round_trips == 2  # What is noted about the miss; then everything.
    page(1)
    with cost() as flush:
        counters.flush()
    assert flush.round_trips == 1
