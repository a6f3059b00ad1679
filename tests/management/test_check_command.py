"""The management command `check_cache_consistency`."""

import itertools
import json
import subprocess
import sys
import tracemalloc
from contextlib import nullcontext
from datetime import date
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
import redis
from asgiref.sync import async_to_sync
from django.core.management import CommandError, call_command
from django.db import transaction
from model_bakery import baker

from cache_invalidation import cached, invalidate
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from cache_invalidation.stores.redis.store import RedisStore
from example_project.servers import ValkeyServer
from tests.delivered import update_behind_the_back
from tests.testapp.models import Category, Product

ROOT = Path(__file__).resolve().parents[2]
NONE = {"checked": 0, "stale": 0, "inconclusive": 0, "not_recomputable": 0}

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


# So few hits are checked that what is found was found by the command.
@cached(sample=1e-12, tags=["checked"], name="checked.stock")
def stock(pk: int) -> int:
    return Product.objects.get(pk=pk).stock


@cached(sample=1e-12, tags=["checked"], name="checked.stock_of")
def stock_of(product: Product) -> int:
    return product.stock


@cached(sample=1e-12, tags=["checked"], name="checked.category", timeout=None)
async def category(pk: int) -> str:
    return (await Category.objects.aget(pk=pk)).name


@cached(tags=["checked"], name="checked.other")
def other(pk: int) -> int:
    return pk


@pytest.fixture(autouse=True)
def only_what_is_counted_here(transactional_db: None, settings: Any) -> None:
    settings.CACHE_INVALIDATION = {"UNDECLARED_READS": "ignore", "RETRY_INTERVAL": 0.001}
    reset_metrics()


@pytest.fixture
def products() -> list[Product]:
    return baker.make(Product, 3, stock=12)


def spoil(product: Product, stock: int = 1) -> None:
    update_behind_the_back(Product.objects.filter(pk=product.pk), stock=stock)


def run(*arguments: Any, status: int = 0) -> str:
    output = StringIO()
    # Where nothing was compared, it is an error of the command.
    ends: Any = {0: nullcontext, 1: SystemExit, 2: CommandError}[status]
    with pytest.raises(ends) if status else ends() as end:
        call_command("check_cache_consistency", *arguments, stdout=output)
    if status:
        assert end.value.args == (1,) if status == 1 else end.value.returncode == 2
    return output.getvalue()


def counts(*arguments: Any, status: int = 0) -> dict[str, Any]:
    found = json.loads(run("--format", "json", *arguments, status=status))
    assert isinstance(found, dict)
    return found


def test_of_an_empty_cache_nothing_is_known():
    assert counts(status=2) == {**NONE, "functions": {}}


def test_functions_that_are_refreshed_are_checked_as_well(products):
    @cached(timeout=60, refresh=True, tags=["checked"], name="checked.ahead")
    def ahead(pk: int) -> int:
        return Product.objects.get(pk=pk).stock

    ahead(products[0].pk)
    assert counts()["functions"] == {"checked.ahead": {**NONE, "checked": 1}}
    spoil(products[0])
    assert counts(status=1)["stale"] == 1


@pytest.mark.parametrize("varies", [(), ("language",)])
def test_what_is_refreshed_by_its_age_alone_may_be_old(varies):
    """Nobody said that it is stale if it is another one by now."""
    rates = itertools.count()

    @cached(timeout=60, refresh=True, tags=[], vary_on=varies, name="checked.rate")
    def rate() -> int:
        return next(rates)

    rate()
    assert counts(status=2)["functions"] == {"checked.rate": {**NONE, "not_recomputable": 1}}
    assert rate() == 0
    assert "it depends on nothing" in run("--verbosity", "2", status=2)


def test_what_is_right_is_counted_and_stays(products):
    for product in products:
        stock(product.pk), stock_of(product), other(product.pk)
    found = counts()
    assert found == {
        **NONE,
        "checked": 6,
        "not_recomputable": 3,
        "functions": {
            "checked.other": {**NONE, "not_recomputable": 3},
            "checked.stock": {**NONE, "checked": 3},
            "checked.stock_of": {**NONE, "checked": 3},
        },
    }
    reset_metrics()
    stock(products[0].pk)
    assert read_metrics()["hits"] == 1


def test_what_is_stale_is_found_counted_logged_and_healed(products, caplog):
    for product in products:
        stock(product.pk)
        # The instance that the caller has is as old as the value.
        stock_of(product)
    reset_metrics()
    spoil(products[1])
    found = counts(status=1)
    assert (found["checked"], found["stale"]) == (6, 2)
    assert found["functions"]["checked.stock"] == {**NONE, "checked": 3, "stale": 1}
    assert found["functions"]["checked.stock_of"] == {**NONE, "checked": 3, "stale": 1}
    assert sum("was stale" in message for message in caplog.messages) == 2
    metrics = read_metrics()
    assert (metrics["checked_hits"], metrics["stale_hits"]) == (6, 2)
    assert (metrics["hits"], metrics["misses"]) == (0, 0)
    assert metrics["stale_by_entity_type"] == {"checked.stock": 1, "checked.stock_of": 1}
    assert counts()["checked"] == 4
    assert stock(products[1].pk) == 1


def test_coroutine_functions_are_checked_too():
    row = baker.make(Category, name="Coffee")
    assert async_to_sync(category)(row.pk) == "Coffee"
    assert counts()["functions"] == {"checked.category": {**NONE, "checked": 1}}
    update_behind_the_back(Category.objects.filter(pk=row.pk), name="Tea")
    assert counts(status=1)["functions"] == {"checked.category": {**NONE, "checked": 1, "stale": 1}}
    assert async_to_sync(category)(row.pk) == "Tea"


def test_only_the_functions_that_are_named_are_checked(products):
    for product in products:
        stock(product.pk), stock_of(product)
    spoil(products[0])
    assert counts("--function", "checked.stock", status=1)["functions"] == {
        "checked.stock": {**NONE, "checked": 3, "stale": 1}
    }
    both = counts("--function=checked.category", "--function=checked.stock_of", status=1)
    assert both["functions"] == {
        "checked.category": NONE,
        "checked.stock_of": {**NONE, "checked": 3, "stale": 1},
    }


def test_a_function_that_nobody_knows_is_an_error_with_a_suggestion():
    with pytest.raises(CommandError, match=r"'checked\.stok' .*Did you mean .*checked\.stock"):
        run("--function", "checked.stok")
    with pytest.raises(CommandError, match=r"'checked\.other' has opted in"):
        run("--function", "checked.other")


def test_no_more_values_are_computed_than_the_limit_says(products):
    for product in products:
        stock(product.pk), other(product.pk)
    assert counts("--limit", "2")["checked"] == 2
    assert counts("--limit", "9")["checked"] == 3
    with pytest.raises(CommandError, match="--limit"):
        run("--limit", "0")


def test_entries_that_are_not_valid_any_more_are_left_out(products):
    for product in products:
        stock(product.pk)
    spoil(products[0])
    stock.invalidate(products[1].pk)
    assert counts("--function", "checked.stock", status=1)["checked"] == 2
    invalidate(tags=["checked"])
    assert counts(status=2)["checked"] == 0


def test_what_cannot_be_computed_again_is_counted_with_the_reason(products):
    def old() -> int:
        return 1

    cached(tags=["checked"], name="checked.old")(old)()
    newer = cached(tags=["checked"], name="checked.old", sample=1e-12)(old)
    gone = stock_of.key(products[0])
    stock_of(products[0])
    products[0].delete()
    other(1)
    assert newer() == 1
    lines = [" ".join(line.split()) for line in run("--verbosity", "2", status=2).splitlines()]
    start = "not recomputable "
    reasons = [line.removeprefix(start) for line in lines if line.startswith(start)]
    assert sorted(reasons) == [
        "checked.old: it was stored before the function opted in",
        f"{other.key(1)}: no function of this name has opted in, in this process",
        f"{gone}: its call cannot be made again (DoesNotExist)",
    ]
    assert lines[-1].split() == ["all", "0", "0", "0", "3"]


def test_arguments_that_the_serializer_changes_are_not_computed_again(settings, caplog):
    settings.CACHE_INVALIDATION |= {"CACHE": "zlib"}

    @cached(tags=["checked"], name="checked.days", sample=1e-12)
    def days(until: date) -> int:
        return until.toordinal()

    days(date(2026, 1, 2))
    assert counts(status=2)["functions"] == {"checked.days": {**NONE, "not_recomputable": 1}}
    assert "do not come back as they were" in run("--verbosity=2", status=2)
    assert caplog.messages == []


def test_the_metrics_show_as_text_what_was_checked(products):
    output = StringIO()
    call_command("cache_metrics", stdout=output)
    assert "checked        no rate yet (0 of 0 hits)" in output.getvalue()
    for product in products:
        stock_of(product)
    spoil(products[0])
    run(status=1)
    call_command("cache_metrics", stdout=output)
    lines = [" ".join(line.split()) for line in output.getvalue().splitlines()]
    assert "checked 33.3% stale (1 of 3 hits)" in lines
    assert lines[lines.index("checked 33.3% stale (1 of 3 hits)") + 1] == "checked.stock_of 1"


def test_a_function_that_fails_is_inconclusive(products, caplog):
    stock(products[0].pk)
    Product.objects.all().delete()
    assert counts(status=2)["functions"] == {"checked.stock": {**NONE, "inconclusive": 1}}
    assert sum("could not be computed again" in message for message in caplog.messages) == 1


def test_in_a_transaction_that_has_written_everything_is_inconclusive(products):
    stock(products[0].pk)
    with transaction.atomic():
        baker.make(Category)
        assert counts(status=2)["functions"] == {"checked.stock": {**NONE, "inconclusive": 1}}


def test_the_text_is_a_table(products):
    for product in products:
        stock(product.pk)
    spoil(products[2])
    lines = run("--verbosity", "2", status=1).splitlines()
    assert lines[0].split() == ["stale", stock.key(products[2].pk)]
    assert lines[1].split() == ["checked", "stale", "inconclusive", "not", "recomputable"]
    assert [line.split() for line in lines[2:]] == [
        ["checked.stock", "3", "1", "0", "0"],
        ["all", "3", "1", "0", "0"],
    ]
    assert len(run("--verbosity", "3").splitlines()) == 2 + 3


def test_the_local_memory_can_be_checked(products, settings):
    settings.CACHE_INVALIDATION |= {"CACHE": "locmem"}
    for product in products:
        stock(product.pk)
    spoil(products[0])
    assert counts(status=1)["functions"] == {"checked.stock": {**NONE, "checked": 3, "stale": 1}}
    assert stock(products[0].pk) == 1


@pytest.mark.parametrize("alias", ["redis_django", "dbcache"])
def test_a_cache_that_cannot_list_its_keys_is_an_error(settings, alias):
    settings.CACHE_INVALIDATION |= {"CACHE": alias}
    with pytest.raises(CommandError, match=f"The cache '{alias}' cannot list its keys"):
        run()


def hidden(key: str, prefix: str, version: int) -> str:
    """Make keys as a project might that has something to hide."""
    return f"{prefix}:{hash(key)}"


def test_keys_that_do_not_show_their_names_are_an_error(settings):
    settings.CACHES = settings.CACHES | {
        "default": settings.CACHES["default"] | {"KEY_FUNCTION": f"{__name__}.hidden"}
    }
    with pytest.raises(CommandError, match="KEY_FUNCTION"):
        run()


def test_a_prefix_with_wildcards_in_it_finds_its_own_entries_only(products, settings):
    stock(products[0].pk)
    settings.CACHES = settings.CACHES | {
        "default": settings.CACHES["default"] | {"KEY_PREFIX": "t*t:[x]"}
    }
    assert counts(status=2)["checked"] == 0
    stock(products[0].pk)
    assert counts()["checked"] == 1


def test_a_cache_that_is_down_is_an_error(settings, valkey: ValkeyServer):
    settings.CACHES = settings.CACHES | {
        "default": settings.CACHES["default"] | {"LOCATION": valkey.url}
    }
    valkey.kill()
    with pytest.raises(CommandError, match=r"The cache does not answer: ") as error:
        run()
    assert error.value.returncode == 2


@pytest.mark.parametrize(
    "arguments", [["--function", "checked.stok"], ["--limit", "0"], ["--limit", "x"]]
)
def test_what_cannot_be_checked_is_told_apart_from_what_is_stale(arguments):
    command = [sys.executable, "-m", "django", "check_cache_consistency", *arguments]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 2, result.stderr


def test_many_entries_take_no_memory(redis_client: redis.Redis):
    store = RedisStore("default")
    pipeline = redis_client.pipeline(transaction=False)
    for number in range(50_000):
        pipeline.set(store._cache.make_key(f"ci:e:many:{number}"), b"\x01")
    pipeline.execute()
    names = store.entries("many")
    next(names)
    tracemalloc.start()
    found = 1 + sum(1 for _ in names)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found >= 50_000
    assert peak < 1_000_000


def test_in_a_shell_it_says_that_nothing_was_compared_and_shows_how_it_is_used():
    command = [sys.executable, "-m", "django", "check_cache_consistency"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 2, result.stderr
    assert "Nothing was compared: no entry was found." in result.stderr
    assert result.stdout.splitlines()[-1].split() == ["all", "0", "0", "0", "0"]
    helped = subprocess.run([*command, "--help"], cwd=ROOT, capture_output=True, text=True)
    assert "check_cache_consistency --function shop.queries.product --limit 100" in helped.stdout
