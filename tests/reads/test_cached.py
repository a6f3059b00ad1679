"""`cached` on functions and methods: what is kept, for how long, and how it is let go."""

import re
import time
from datetime import timedelta
from typing import Any

import pytest
import redis
from django.core.cache import cache
from django.db import models

from cache_invalidation import ModelInvalidation, cached, invalidate
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from cache_invalidation.stores.messages import entry_name
from tests.delivered import commands
from tests.testapp.models import Product


class Anything(models.Model):
    class Meta:
        app_label = "testapp"
        abstract = True


class Computed:
    """A function that counts its calls; its value is the number of the call."""

    def __init__(self) -> None:
        self.calls: list[Any] = []

    def __call__(self, *args: Any) -> int:
        self.calls.append(args)
        return len(self.calls)


@pytest.fixture
def computed() -> Computed:
    return Computed()


def lifetime(client: redis.Redis, key: str) -> int:
    """Return for how many ms the server keeps an entry; -1 for ever, -2 if there is none."""
    left = client.pttl(cache.make_key(entry_name(key)))
    assert isinstance(left, int)
    return left


def test_a_value_is_computed_once_for_each_set_of_arguments(computed):
    @cached(tags=["a"])
    def page(category_id, number=1):
        return computed(category_id, number)

    assert page(3) == page(3, 1) == page(category_id=3) == page(number=1, category_id=3) == 1
    assert page(4) == 2
    assert page(3, number=2) == 3
    assert computed.calls == [(3, 1), (4, 1), (3, 2)]


@pytest.mark.parametrize("value", [None, False, 0, "", [], {}, (), b"", 1.5, {"a": [1, None]}])
def test_every_value_comes_back_as_it_was_even_none(value):
    calls = []

    @cached(tags=["a"])
    def page():
        calls.append(1)
        return value

    assert page() == page() == value
    assert type(page()) is type(value)
    assert len(calls) == 1


def test_who_changes_a_value_does_not_change_what_is_cached():
    @cached(tags=["a"])
    def page():
        return [1]

    page().append(2)
    page().append(3)
    assert page() == [1]


def test_an_invalidated_tag_makes_exactly_its_dependents_stale(computed):
    @cached(tags=["category:{category_id}"])
    def page(category_id):
        return computed(category_id)

    assert (page(3), page(4)) == (1, 2)
    invalidate(tags=["category:3"])
    assert (page(3), page(4)) == (3, 2)
    invalidate(tags=["category:*"])
    assert (page(3), page(4)) == (4, 5)
    invalidate(tags=["*"])
    assert (page(3), page(4)) == (6, 7)


def test_a_hit_is_one_round_trip(redis_client):
    @cached(tags=["a", "b:{number}", "c"])
    def page(number):
        return "x" * 1000

    page(1)
    with commands(redis_client) as sent:
        assert page(1)
    assert sent == {"mget": 1}


def test_invalidating_one_call_leaves_the_others_and_the_tags_alone(computed):
    @cached(tags=["a"])
    def page(number=1):
        return computed(number)

    @cached(tags=["a"])
    def other():
        return "untouched"

    assert (page(), page(2), other()) == (1, 2, "untouched")
    page.invalidate(number=1)
    assert (page(), page(2), other()) == (3, 2, "untouched")
    assert page() == 3


def test_refresh_computes_stores_and_returns_whatever_is_cached(computed):
    @cached(tags=["a"])
    def page(number):
        return computed(number)

    assert page.refresh(1) == 1
    assert page(1) == 1
    assert page.refresh(1) == 2
    assert page(1) == 2


def test_the_function_itself_stays_at_hand(computed):
    @cached(tags=["a"])
    def page(number):
        """Return a page."""
        return computed(number)

    assert page.uncached(1) == 1
    assert page(1) == 2
    assert page.uncached(1) == 3
    assert (page.__name__, page.__doc__, page.__module__) == ("page", "Return a page.", __name__)
    assert repr(page) == f"<cached {__name__}.{page.__qualname__}>"


def test_the_key_names_the_function_and_tells_calls_apart():
    @cached(tags=["a"])
    def page(number=1): ...

    @cached(tags=["a"], name="front")
    def front(): ...

    assert page.key() == page.key(1) == page.key(number=1) != page.key(2)
    assert page.key().startswith(f"{__name__}.")
    assert front.key() == "front"


def test_an_argument_that_cannot_be_part_of_a_key_is_an_error_of_the_caller():
    @cached(tags=["a"])
    def page(numbers): ...

    for call in (page, page.key, page.invalidate, page.refresh):
        with pytest.raises(TypeError, match="pass a tuple"):
            call([1])


def test_methods_of_models_are_kept_for_each_row(computed, monkeypatch):
    def summary(self, lang="en"):
        """Return a summary."""
        return f"{self.pk} {lang} {computed()}"

    method = cached(tags=["p:{self}"])(summary)
    monkeypatch.setattr(Product, "summary", method, raising=False)
    model: Any = Product
    one, two = model(pk=1), model(pk=2)
    assert one.summary() == model(pk=1).summary(lang="en") == "1 en 1"
    assert two.summary("de") == "2 de 2"
    one.summary.invalidate()
    assert one.summary() == "1 en 3"
    assert one.summary.refresh() == "1 en 4"
    assert one.summary.uncached() == "1 en 5"
    assert one.summary.key() == method.key(one) != two.summary.key()
    invalidate(tags=["p:2"])
    assert (one.summary(), two.summary("de")) == ("1 en 4", "2 de 6")


def test_static_methods_are_kept_too(computed):
    class Shop:
        @staticmethod
        @cached(tags=["a"])
        def front(number):
            return computed(number)

    assert Shop.front(1) == Shop().front(1) == 1


def test_a_method_of_an_object_without_an_identity_says_what_to_do():
    class Shop:
        @cached(tags=["a"])
        def front(self): ...

    with pytest.raises(TypeError, match=r"self=.*pass plain values of it, or model instances"):
        Shop().front()


@pytest.mark.parametrize(("timeout", "expected"), [(60, 60_000), (3600.5, 3_600_500), (None, -1)])
def test_a_value_lives_as_long_as_it_is_told(timeout, expected, redis_client):
    @cached(tags=["a"], timeout=timeout)
    def page():
        return 1

    page()
    left = lifetime(redis_client, page.key())
    assert left == expected or expected * 0.5 < left <= expected


def test_the_default_timeout_is_looked_up_at_each_call(redis_client, settings):
    @cached(tags=["a"])
    def page():
        return 1

    page()
    assert 150_000 < lifetime(redis_client, page.key()) <= 300_000
    settings.CACHE_INVALIDATION = {"DEFAULT_TIMEOUT": 100}
    page.refresh()
    assert 10_000 < lifetime(redis_client, page.key()) <= 100_000


def test_a_value_that_has_expired_is_computed_anew(computed):
    @cached(tags=["a"], timeout=0.05)
    def page():
        return computed()

    assert page() == 1
    time.sleep(0.06)
    assert page() == 2


def test_a_version_outlives_the_longest_entry_that_uses_it(redis_client, computed):
    @cached(tags=["a"], timeout=0.05)
    def short(): ...

    @cached(tags=["a"], timeout=None)
    def eternal():
        return computed()

    short()
    assert eternal() == 1
    version = redis_client.pttl(cache.make_key("ci:t:a"))
    assert version == -1
    short.refresh()
    assert redis_client.pttl(cache.make_key("ci:t:a")) == -1


@pytest.mark.parametrize("timeout", [0, -1, "60", True, float("nan"), float("inf")], ids=repr)
def test_a_timeout_that_makes_no_sense_is_refused_when_the_function_is_decorated(timeout):
    with pytest.raises(ValueError, match="timeout="):
        cached(tags=["a"], timeout=timeout)


def test_only_functions_can_be_decorated():
    decorate: Any = cached(tags=["a"])
    with pytest.raises(TypeError, match="decorates functions"):
        decorate("page")


def test_hits_and_misses_are_counted_for_each_function(computed):
    @cached(tags=["a"], name="counted page")
    def page(number):
        return computed(number)

    @cached(tags=["a"], name="other page")
    def other(): ...

    reset_metrics()
    for number in (1, 1, 1, 2):
        page(number)
    other()
    page.refresh(1)
    page.uncached(1)
    metrics = read_metrics()
    assert metrics["functions"] == {
        "counted page": {"hits": 2, "misses": 2, "bypasses": 0, "hit_rate": 0.5},
        "other page": {"hits": 0, "misses": 1, "bypasses": 0, "hit_rate": 0.0},
    }
    assert (metrics["hits"], metrics["misses"], metrics["hit_rate"]) == (2, 3, 0.4)


def test_a_timeout_may_be_a_timedelta(redis_client, settings):
    page = cached(tags=["a"], timeout=timedelta(minutes=5), name="cached.timedelta")(lambda: 1)
    page()
    assert 290_000 < lifetime(redis_client, page.key()) <= 300_000
    settings.CACHE_INVALIDATION = {"DEFAULT_TIMEOUT": timedelta(minutes=1)}
    page = cached(tags=["a"], name="cached.default-timedelta")(lambda: 1)
    page()
    assert 50_000 < lifetime(redis_client, page.key()) <= 60_000


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout": 10**12}, "above zero and up to 1,000,000,000, or None for ever"),
        ({"timeout": 10**400}, "above zero and up to 1,000,000,000, or None for ever"),
        ({"timeout": timedelta(days=-1)}, "above zero and up to 1,000,000,000"),
        ({"timeout": "60"}, "timeout='60': it must be a number, or None for ever"),
        ({"lock": "yes"}, "lock='yes': it must be True or False"),
        ({"lock": 5}, "lock=5: it must be True or False"),
        ({"name": 3}, "name=3: it must be text, or None for the name of the function"),
        ({"sample": "x"}, "sample='x': it must be a number above 0 and up to 1"),
        ({"tags": 3}, "tags= is a list of tags, not 3. A tag is a string, a model"),
        ({"tags": {"a": 1}}, "tags= is a list of tags, not {'a': 1}"),
        ({"tags": b"a"}, "tags= is a list of tags, not b'a'"),
        ({"tags": Product.objects.all()}, "tags= is a list of tags, not CachedQuerySet"),
        ({"tags": Product.objects}, "tags= is a list of tags, not Manager"),
        ({"tags": [["a"]]}, "tags= has tags in it, not ['a']"),
        ({"tags": [None]}, "tags= has tags in it, not None"),
        ({"tags": ModelInvalidation}, "tags= has tags in it, not <class"),
        ({"tags": Anything}, "Anything has no table of its own; name models that have"),
    ],
)
def test_an_option_that_makes_no_sense_is_refused_when_the_function_is_decorated(options, message):
    with pytest.raises((TypeError, ValueError), match=re.escape(message)):
        cached(**options)(lifetime)


def test_what_is_no_function_is_named_without_asking_the_database():
    """Without a mark for it, a query would fail."""
    queryset: Any = Product.objects.filter(name="a")
    with pytest.raises(TypeError, match=r"not a queryset of Product: leave it out"):
        cached(queryset)
