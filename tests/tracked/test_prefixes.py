"""Invalidating all keys below a prefix: it costs the same for any number of them, and misses none.

What is set in the race is made of a number that no model has, so nothing else invalidates it.
With ``PREFIX_KEYS=1000000`` in the environment there are as many keys below a prefix, at most.
"""

import os
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pytest
import redis
from django.core.cache import caches

from cache_invalidation import ModelInvalidation, invalidate, registry, unit_of_work
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import tracked_name
from tests.consistency.test_statement_races import sample_late
from tests.delivered import commands
from tests.elsewhere import apart
from tests.stores.copies import copy
from tests.stores.steps import PATIENCE
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])

# Of keys below the prefix.
NUMBERS = [1, 1_000, int(os.environ.get("PREFIX_KEYS", "100_000"))]


class Rule(ModelInvalidation):
    patterns = ["product:*"]


@pytest.fixture
def ways(settings: Any) -> dict[str, Callable[[], object]]:
    settings.CACHE_INVALIDATION = {"CACHE": "tracked"}
    cache: Any = caches["tracked"]

    def write() -> None:
        with registry.override(Product, Rule):
            Product.objects.update(stock=1)

    return {
        "invalidate": lambda: invalidate(patterns=["product:*"]),
        "delete_pattern": lambda: cache.delete_pattern("product:*"),
        "a rule": write,
    }


def fill(number: int, client: redis.Redis) -> list[str]:
    """Have so many keys below the prefix; return some of them, which are found."""
    cache, key = caches["tracked"], "product:list:"
    with unit_of_work():
        assert cache.get(key) is None
        cache.set(key, "old")
    # One entry is as good as another: nothing in it says of which key it is.
    copy(client, get_store().entry_place(tracked_name(key, 1)), number)
    keys = [key, *(f"{key}{each}" for each in {1, number // 2 or 1, number})]
    assert set(cache.get_many(keys)) == set(keys)
    return keys


@pytest.mark.parametrize("way", ["invalidate", "delete_pattern", "a rule"])
def test_the_number_of_commands_does_not_grow_with_that_of_keys(
    way: str, ways: dict[str, Callable[[], object]], redis_client: redis.Redis
) -> None:
    Product.objects.create(name="any")
    ways[way]()  # Scripts are loaded by this, and what the database is like is found out.
    sent = []
    for number in NUMBERS:
        keys = fill(number, redis_client)
        with commands(redis_client) as counts:
            ways[way]()
        assert caches["tracked"].get_many(keys) == {}
        sent.append(counts)
    assert sent[0] == sent[1] == sent[2]
    assert not {"scan", "keys"}.intersection(sent[0]), sent[0]
    assert sum(sent[0].values()) < 40, sent[0]


@dataclass
class Race:
    """Readers that fill keys below a prefix, and writers that invalidate it, each a thread."""

    ways: list[Callable[[], object]]
    reads: int = 0
    hits: int = 0
    stale: int = 0
    # What there is to be read; and what is known to be invalidated below that.
    number: int = 0
    invalidated: int = 0
    writing: threading.Lock = field(default_factory=threading.Lock)
    is_over: threading.Event = field(default_factory=threading.Event)

    def read(self) -> None:
        cache, deadline = caches["tracked"], time.monotonic() + PATIENCE
        while not self.is_over.is_set() and time.monotonic() < deadline:
            newest = self.invalidated
            with unit_of_work():
                key = f"product:{random.randrange(4)}:{random.randrange(4)}"
                found = cache.get(key)
                self.hits += found is not None
                if found is None:
                    found = self.number
                    time.sleep(random.uniform(0, 0.002))
                    cache.set(key, found)
            self.stale += found < newest
            self.reads += 1

    def write(self) -> None:
        while not self.is_over.is_set():
            with self.writing:
                self.number += 1
                random.choice(self.ways)()
                self.invalidated = self.number
            time.sleep(random.uniform(0, 0.02))

    def run(self, is_enough: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        with ThreadPoolExecutor(6) as pool:
            running = [pool.submit(apart(role)) for role in [self.read] * 4 + [self.write] * 2]
            while not is_enough() and time.monotonic() < deadline:
                time.sleep(0.01)
            self.is_over.set()
            for each in running:
                each.result(PATIENCE)
        assert is_enough(), self

    def left(self) -> set[int]:
        keys = [f"product:{first}:{second}" for first in range(4) for second in range(4)]
        return set(caches["tracked"].get_many(keys).values())


@pytest.fixture
def race(ways: dict[str, Callable[[], object]]) -> Race:
    return Race([ways["invalidate"], ways["delete_pattern"]])


def test_none_is_stale_that_is_filled_meanwhile(race: Race) -> None:
    race.run(lambda: race.hits > 300 and race.number > 30)
    assert race.stale == 0
    assert race.left() <= {race.number}


def test_the_race_finds_readers_that_sample_late(
    race: Race, monkeypatch: pytest.MonkeyPatch
) -> None:
    sample_late(monkeypatch)
    race.run(lambda: race.stale > 0)
