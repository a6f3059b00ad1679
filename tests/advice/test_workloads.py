"""Workloads with a known best answer: it is found, and it does what was expected of it."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import pytest
from django.db import connection
from django.db.models import F

from cache_invalidation import ModelInvalidation, Tag, cached, invalidate
from cache_invalidation.advice import uses
from cache_invalidation.advice.advising import advice_on
from cache_invalidation.advice.findings import Finding
from cache_invalidation.advice.situation import Situation
from cache_invalidation.metrics.report import reset_metrics
from cache_invalidation.reads import functions, hints
from cache_invalidation.reads.background import background
from cache_invalidation.testing import override_rules
from tests.advice.conftest import Site
from tests.stores.steps import PATIENCE
from tests.testapp.matrix import Bystander
from tests.testapp.models import Category, Product, Review

pytestmark = pytest.mark.django_db(transaction=True)

ROUNDS = 60


@pytest.fixture
def shop() -> list[Product]:
    """Three categories with two products each; the first product of each comes first."""
    categories = [Category.objects.create(name=f"category {n}") for n in range(3)]
    return [
        Product.objects.create(name=f"product {n}", category=category)
        for n in range(2)
        for category in categories
    ]


@pytest.fixture
def rule() -> Iterator[Callable[..., None]]:
    """Give products a rule with these attributes, in the place of the one before."""
    with ExitStack() as stack:

        def enter(**attributes: Any) -> None:
            made = type("ProductRule", (ModelInvalidation,), attributes)
            stack.enter_context(override_rules({Product: made}))

        stack.enter_context(override_rules({Product: None, Category: None, Review: None}))
        yield enter


def the(kind: str, found: list[Finding]) -> Any:
    """Return the only finding, which has to be of this kind."""
    assert [finding["kind"] for finding in found] == [kind]
    (finding,) = found
    assert any(finding["evidence"].values())
    return finding


def check(finding: Any, before: Situation, after: Situation) -> None:
    """Hold the finding to what it said: the hit rate of its readers, and the seconds."""
    names = finding["readers"]
    reads = sum(after.reads(name) for name in names)
    assert reads == sum(before.reads(name) for name in names)
    rate = sum(after.hits(name) for name in names) / reads
    assert rate > finding["hit_rate"]
    assert rate == pytest.approx(finding["expected_hit_rate"], rel=0.1)
    assert before.seconds - after.seconds == pytest.approx(finding["seconds"], rel=0.1)


class Both:
    """A workload as it is, and with the patch applied."""

    def __init__(self, site: Site, kind: str) -> None:
        self.site, self.kind = site, kind

    def __call__(self, work: Callable[[], Any], apply: Callable[[], Any]) -> Any:
        before = self.site.run(work)
        finding = the(self.kind, advice_on(before)["findings"])
        changed = apply()
        after = self.site.run(changed or work)
        check(finding, before, after)
        assert advice_on(after)["findings"] == []
        return finding


@pytest.fixture
def titles(site: Site) -> Any:
    @cached(name="advice.titles")
    def titles(category_id: int) -> list[str]:
        site.takes(0.1)
        return list(Product.objects.filter(category_id=category_id).values_list("name", flat=True))

    return titles


@pytest.fixture
def names(site: Site) -> Any:
    @cached(name="advice.names")
    def names() -> list[str]:
        site.takes(0.1)
        return list(Product.objects.order_by("pk").values_list("name", flat=True))

    return names


@pytest.fixture
def name_of(site: Site) -> Any:
    @cached(name="advice.name_of")
    def name_of(pk: int) -> str:
        site.takes(0.1)
        return str(Product.objects.values_list("name", flat=True).get(pk=pk))

    return name_of


@pytest.fixture
def categories(site: Site) -> Any:
    @cached(name="advice.categories")
    def categories() -> list[str]:
        site.takes(0.1)
        return list(Category.objects.order_by("pk").values_list("name", flat=True))

    return categories


@pytest.fixture
def front(site: Site) -> Any:
    @cached(tags=["front"], name="advice.front")
    def front() -> str:
        site.takes(0.1)
        return "front"

    return front


def test_track(site: Site, shop: list[Any], rule: Any, titles: Any):
    def work() -> None:
        for number in range(ROUNDS):
            for product in shop[:3] * 3:
                titles(product.category_id)
            Product.objects.filter(pk=shop[0].pk).update(name=f"renamed {number}")

    finding = Both(site, "track")(work, lambda: rule(track=["category"]))
    assert finding["name"] == "testapp.product"
    assert 'track = ["category"]' in finding["patch"]
    assert finding["writes"][0]["entity_type"] == "testapp.product"


def test_volatile(site: Site, shop: list[Any], rule: Any, names: Any):
    def work() -> None:
        for _ in range(ROUNDS):
            for _ in range(4):
                names()
            Product.objects.filter(pk=shop[0].pk).update(stock=F("stock") + 1)

    finding = Both(site, "volatile")(work, lambda: rule(volatile=["stock"]))
    assert '"stock"' in finding["patch"]
    assert "@register(Product)" in finding["patch"]


def test_rows_that_a_statement_does_not_name(site: Site, shop: list[Any], rule: Any, name_of: Any):
    def work() -> None:
        for number in range(ROUNDS):
            for _ in range(4):
                name_of(shop[0].pk)
            others = Product.objects.exclude(pk=shop[0].pk)
            others.update(name=f"renamed {number}", stock=F("stock") + 1)

    Both(site, "volatile")(work, lambda: rule(volatile=["stock"]))


def test_fields_of_a_tag(site: Site, shop: list[Any], rule: Any):
    @cached(tags=["category:{number}"], name="advice.declared")
    def declared(number: int) -> list[str]:
        site.takes(0.1)
        return list(Product.objects.filter(category_id=number).values_list("name", flat=True))

    def work() -> None:
        for _ in range(ROUNDS):
            for _ in range(4):
                declared(shop[0].category_id)
            Product.objects.filter(pk=shop[0].pk).update(stock=F("stock") + 1)

    rule(tags=["category:{category_id}"])
    finding = Both(site, "fields")(
        work, lambda: rule(tags=[Tag("category:{category_id}", fields=["name"])])
    )
    assert finding["name"].endswith("ProductRule")
    assert 'Tag("category:{category_id}", fields=["name", ' in finding["patch"]


def test_families(site: Site, shop: list[Any], rule: Any, settings: Any, categories: Any):
    def get_tags(self: Any, change: Any) -> list[str]:
        return [f"shelf:{state.category_id}" for state in change.instances]

    def work() -> None:
        Product.objects.filter(pk=shop[0].pk).update(stock=1)
        for _ in range(ROUNDS):
            for _ in range(4):
                categories()
            Product.objects.update(stock=F("stock") + 1)

    settings.CACHE_INVALIDATION |= {"ROW_TAG_LIMIT": 2}
    rule(get_tags=get_tags)
    finding = Both(site, "families")(work, lambda: rule(get_tags=get_tags, families=["shelf"]))
    assert 'families = ["shelf"]' in finding["patch"]


def test_row_limit(site: Site, shop: list[Any], rule: Any, settings: Any, name_of: Any):
    def work() -> None:
        for _ in range(ROUNDS):
            for _ in range(4):
                name_of(shop[0].pk)
            Product.objects.exclude(pk=shop[0].pk).update(stock=F("stock") + 1)

    rule(track=["category"])
    settings.CACHE_INVALIDATION |= {"ROW_TAG_LIMIT": 2}

    def apply() -> None:
        settings.CACHE_INVALIDATION |= {"ROW_TAG_LIMIT": 20}

    finding = Both(site, "row_limit")(work, apply)
    assert '"ROW_TAG_LIMIT": 20' in finding["patch"]


def test_statements_that_cannot_be_read(site: Site, shop: list[Any], rule: Any, categories: Any):
    def work(*, by_orm: bool = False) -> None:
        for _ in range(ROUNDS):
            for _ in range(4):
                categories()
            if by_orm:
                Product.objects.update(stock=F("stock") + 1)
            else:
                with connection.cursor() as cursor:
                    cursor.execute(
                        "DO $$ BEGIN EXECUTE 'UPDATE testapp_' || 'product SET stock = 1'; END $$"
                    )

    finding = Both(site, "statement")(work, lambda: lambda: work(by_orm=True))
    assert "no_invalidation" in finding["patch"]


def test_calls_of_invalidate(site: Site, shop: list[Any], rule: Any, front: Any):
    def work(*, if_changed: bool = False) -> None:
        for _ in range(ROUNDS):
            for _ in range(4):
                front()
            if not if_changed:
                invalidate(tags=["front"])

    finding = Both(site, "manual")(work, lambda: lambda: work(if_changed=True))
    assert 'invalidate(tags=["front"])' in finding["patch"]


def test_a_longer_timeout(site: Site, shop: list[Any], rule: Any):
    def names(timeout: float) -> Any:
        @cached(name="advice.names", timeout=timeout)
        def names(pk: int) -> list[str]:
            site.takes(0.1)
            return list(Product.objects.filter(pk=pk).values_list("name", flat=True))

        return names

    pk = shop[0].pk

    def work(function: Any) -> None:
        for number in range(ROUNDS):
            for _ in range(2):
                function(pk)
            if number % 20 == 10:
                Product.objects.filter(pk=pk).update(name=f"renamed {number}")
            else:
                site.wait(400, function, pk)

    short = names(300)
    finding = Both(site, "timeout")(lambda: work(short), lambda: lambda: work(names(604_800)))
    assert "@cached(timeout=604800)" in finding["patch"]


def test_refresh(site: Site, rule: Any):
    def rates(*, refresh: bool) -> Any:
        @cached(name="advice.rates", timeout=300, refresh=refresh)
        def rates() -> float:
            site.takes(0.1)
            site.filled_at = site.passed
            return site.passed

        return rates

    def work(function: Any) -> None:
        for _ in range(20 * ROUNDS):
            function()
            assert background.wait(PATIENCE)
            site.passed += 10.0
            if site.passed - site.filled_at >= 300:
                site.lose(function)

    as_it_is = rates(refresh=False)
    before = site.run(lambda: work(as_it_is))
    finding = the("refresh", advice_on(before)["findings"])
    assert finding["patch"] == "+@cached(timeout=300, refresh=True)"
    after = site.run(lambda: work(rates(refresh=True)))
    rate = after.metrics["hit_rate"]
    assert rate > finding["hit_rate"]
    assert rate == pytest.approx(finding["expected_hit_rate"], rel=0.1)
    waited = before.metrics["misses"] - after.metrics["misses"]
    assert waited * 0.1 == pytest.approx(finding["seconds"], rel=0.1)
    assert advice_on(after)["findings"] == []


def test_memory(site: Site, shop: list[Any], rule: Any, names: Any):
    def work(*, is_full: bool = True) -> None:
        for _ in range(ROUNDS):
            for _ in range(4):
                names()
            if is_full:
                site.lose(names)

    finding = Both(site, "memory")(work, lambda: lambda: work(is_full=False))
    assert "advice.names" in finding["patch"]


def test_what_another_release_cannot_decode(site: Site, rule: Any, redis_client: Any, front: Any):
    def work(*, together: bool = True) -> None:
        for _ in range(ROUNDS):
            for _ in range(4):
                front()
            if together:
                (name,) = redis_client.keys("*:ci:e:*advice.front*")
                raw = redis_client.get(name)
                redis_client.set(name, raw[: 10 + raw[9]] + b"\x80unreadable")

    finding = Both(site, "unreadable")(work, lambda: lambda: work(together=False))
    assert "CODE_VERSION" in finding["patch"]


def test_what_cannot_be_stored(site: Site, rule: Any):
    def numbers(kind: Callable[[Any], Any]) -> Any:
        @cached(tags=["front"], name="advice.numbers")
        def numbers() -> Any:
            site.takes(0.1)
            return kind(number for number in range(3))

        return numbers

    def work(function: Any) -> None:
        for _ in range(ROUNDS):
            list(function())

    as_it_is, listed = numbers(iter), numbers(list)
    finding = Both(site, "not_stored")(lambda: work(as_it_is), lambda: lambda: work(listed))
    assert finding["patch"].startswith("# value: ")


def others(site: Site) -> None:
    """Something that is well worth caching, for the hit rate of all."""

    @cached(tags=["others"], name="advice.others")
    def other(number: int) -> int:
        site.takes(0.1)
        return number

    for number in range(400):
        other(number % 10)


@pytest.mark.parametrize("kind", ["cheap", "unhit"])
def test_what_is_not_to_be_cached(site: Site, rule: Any, kind: str):
    def number(value: int) -> int:
        site.takes(0.0001 if kind == "cheap" else 0.1)
        return value

    kept = cached(tags=["number"], name="advice.number")(number)

    def work(function: Any) -> None:
        others(site)
        for value in range(120):
            function(value)

    before = site.run(lambda: work(kept))
    finding = the(kind, advice_on(before)["findings"])
    after = site.run(lambda: work(number))
    metrics: Any = after.metrics
    assert metrics["hit_rate"] == pytest.approx(finding["expected_hit_rate"], rel=0.1)
    assert finding["hit_rate"] == before.metrics["hit_rate"] < metrics["hit_rate"]
    assert advice_on(after)["findings"] == []


@pytest.fixture
def few_deliveries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writes of the workloads are worth a setting; functions of other tests are not loaded."""
    monkeypatch.setattr(uses, "DELIVERIES", ROUNDS)
    # Their code may name anything.
    known = functions.by_name
    monkeypatch.setattr(
        functions,
        "by_name",
        lambda: {name: each for name, each in known().items() if name.startswith("advice.")},
    )


def write_bystanders() -> None:
    for _ in range(ROUNDS):
        Bystander.objects.create(name="seen by nobody")


@pytest.mark.usefixtures("shop", "few_deliveries")
def test_what_nobody_reads_need_not_be_watched(site: Site, settings: Any, names: Any):
    def work() -> None:
        for _ in range(ROUNDS):
            names()
        write_bystanders()

    before = site.run(work)
    finding = the("exclude", advice_on(before)["findings"])
    assert finding["name"] == "testapp.bystander"
    assert '"testapp.bystander"]' in finding["patch"]
    assert finding["evidence"]["deliveries"] == ROUNDS
    # Until processes have told again what they know.
    assert advice_on(replace(before, period=3599.0))["findings"] == []
    assert advice_on(replace(before, period=None))["findings"] == []
    settings.CACHE_INVALIDATION |= {"EXCLUDE": ["sessions", "testapp.bystander"]}
    after = site.run(work)
    assert after.writes("testapp.bystander") == []
    assert after.metrics["hit_rate"] == finding["expected_hit_rate"]


@pytest.mark.usefixtures("few_deliveries")
@pytest.mark.parametrize("how", ["computed before the reset", "not loaded here"])
def test_what_somebody_may_read_has_to_be_watched(site: Site, how: str):
    """A value of which it is not known what it depends on would be stale without the deliveries."""
    row = Bystander.objects.create(name="read")
    is_loaded = how != "not loaded here"
    name = "advice.bystander" if is_loaded else "elsewhere.bystander"

    @cached(name=name, tags=None if is_loaded else ["testapp.bystander:{pk}"])
    def bystander(pk: int) -> str:
        return Bystander.objects.get(pk=pk).name

    def work() -> None:
        if is_loaded:
            bystander(row.pk)
            reset_metrics()
        bystander(row.pk), bystander(row.pk)
        write_bystanders()
        hints.forget()  # Who gives advice has not read any of it.

    assert [each["kind"] for each in site.findings(work)] == []


def test_a_site_that_is_well_tuned_gets_no_advice(
    site: Site, shop: list[Any], rule: Any, titles: Any, name_of: Any
):
    rule(track=["category"], volatile=["stock"])

    def work() -> None:
        for number in range(ROUNDS):
            for product in shop * 5:
                titles(product.category_id)
                name_of(product.pk)
            product = shop[number % len(shop)]
            product.name, product.stock = f"renamed {number}", number
            product.save()
            Product.objects.filter(pk=shop[0].pk).update(stock=number)
            if number % 10 == 0:
                site.lose(titles, shop[0].category_id)

    assert site.findings(work) == []
