"""What functions have returned to `get_or_set` is compared with what they return now."""

import json
from collections.abc import Callable
from contextvars import ContextVar
from io import StringIO
from typing import Any

import pytest
from django.core.cache import caches
from django.core.management import CommandError, call_command
from django.db import transaction

from cache_invalidation import cached, unit_of_work
from cache_invalidation.conf import settings as own_settings
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from cache_invalidation.surfaces.tracked import origins
from tests.delivered import update_behind_the_back
from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")

NAME = "cache:product:*"
request: ContextVar[str | None] = ContextVar("request", default=None)
NONE = {"checked": 0, "stale": 0, "inconclusive": 0, "not_recomputable": 0}


def ours() -> Any:
    return caches[own_settings.CACHE]


def names() -> list[str]:
    return sorted(Product.objects.values_list("name", flat=True))


def titles() -> str:
    return ", ".join(ours().get_or_set("product:names", names))


def by_hand() -> str:
    found = ours().get("product:titles")
    if found is None:
        found = ", ".join(names())
        ours().set("product:titles", found)
    return f"{ours().get_many(['product:titles'])['product:titles']}!"


def first() -> str:
    return Product.objects.get().name


def path() -> str:
    found = request.get()
    assert found is not None
    return found


@cached(sample=1e-12, name="rechecked.listed")
def listed() -> str:
    return ", ".join(ours().get_or_set("product:names", names))


@pytest.fixture(autouse=True)
def counted(cache: Any, product: Product) -> None:
    reset_metrics()


def keep(key: str, function: Callable[[], Any], **options: Any) -> Any:
    with unit_of_work():
        return ours().get_or_set(key, function, **options)


def spoil(product: Product) -> None:
    update_behind_the_back(Product.objects.filter(pk=product.pk), name="new")


def run(*arguments: str, status: int = 0) -> str:
    output, ended = StringIO(), 0
    try:
        call_command("check_cache_consistency", *arguments, stdout=output)
    except SystemExit as end:
        ended = int(end.code or 0)
    except CommandError as error:
        if not str(error).startswith("Nothing was compared"):
            raise
    assert ended == status
    return output.getvalue()


def counts(*arguments: str, status: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(run("--format", "json", *arguments, status=status))
    return found


def test_what_is_right_stays(cache):
    keep("product:1", names), keep("product:2", first)
    assert counts() == {**NONE, "checked": 2, "functions": {NAME: {**NONE, "checked": 2}}}
    assert cache.get_many(["product:1", "product:2"]) == {"product:1": ["old"], "product:2": "old"}
    metrics = read_metrics()
    assert (metrics["checked_hits"], metrics["stale_hits"]) == (2, 0)


def test_what_is_stale_is_told_by_key_and_pattern_and_dropped(cache, product, caplog):
    keep("product:1", names), keep("shop:1", names)
    spoil(product)
    lines = [line.split() for line in run("--verbosity", "2", status=1).splitlines()]
    assert sorted(lines[:2]) == [
        ["stale", "product:1", f"({NAME})"],
        ["stale", "shop:1", "(cache:shop:*)"],
    ]
    assert lines[3] == [NAME, "1", "1", "0", "0"]
    said = [text for text in caplog.messages if text.startswith(f"'product:1' of {NAME} was stale")]
    assert len(said) == 1
    assert "[0]: another value" in said[0]
    assert read_metrics()["stale_by_entity_type"] == {"testapp.product": 2}
    assert cache.get("product:1") is cache.get("shop:1") is None
    assert counts() == {**NONE, "functions": {}}


def test_what_nobody_can_compute_is_counted_by_its_pattern(cache):
    keep("product:1", lambda: 1)
    with unit_of_work():
        assert cache.get("product:2") is None
        assert cache.set("product:2", names())
    assert cache.set("shop:blind:1", "x")
    assert counts()["functions"] == {
        NAME: {**NONE, "not_recomputable": 2},
        "cache:shop:*": {**NONE, "not_recomputable": 1},
    }
    assert f"product:1 ({NAME}): it was set by hand, or by" in run("--verbosity=2")


def test_what_is_set_by_hand_after_it_was_computed_is_not_compared(cache):
    with unit_of_work():
        cache.get_or_set("product:1", names)
        assert cache.set("product:1", "something else")
    assert counts()["functions"] == {NAME: {**NONE, "not_recomputable": 1}}


def test_what_is_not_valid_any_more_is_left_out(cache, product):
    keep("product:1", names)
    with unit_of_work():
        assert cache.get("product:2") is None
        assert cache.set("product:2", names())
    product.save()
    assert counts() == {**NONE, "functions": {}}


def test_one_pattern_can_be_checked_by_its_name(product):
    keep("product:1", names), keep("shop:1", names), listed()
    spoil(product)
    assert counts("--function", NAME, status=1)["functions"] == {
        NAME: {**NONE, "checked": 2, "stale": 2}
    }
    found = counts("--function=cache:shop:*", "--function=rechecked.listed", status=1)["functions"]
    assert found == {
        "cache:shop:*": {**NONE, "checked": 1, "stale": 1},
        "rechecked.listed": {**NONE, "checked": 1, "stale": 1},
    }


def test_a_pattern_that_tracks_nothing_is_an_error_with_a_suggestion():
    with pytest.raises(CommandError, match=r"no pattern of tracked keys .*mean .*cache:product:\*"):
        run("--function", "cache:produkt:*")


def test_no_more_are_computed_than_the_limit_says():
    for number in range(3):
        keep(f"product:{number}", names)
    assert counts("--limit", "2")["checked"] == 2


def test_other_versions_of_a_key_are_told_apart(product):
    keep("product:1", names, version=7)
    spoil(product)
    assert f"product:1 (version 7) ({NAME})" in run("--verbosity=2", status=1)


@pytest.mark.parametrize("outer", [titles, by_hand])
def test_nothing_cached_is_read_by_what_is_computed_anew(cache, product, outer):
    keep("product:names", names), keep("product:outer", outer)
    before = cache.get("product:outer")
    assert counts("--function", NAME)["stale"] == 0
    spoil(product)
    # The inner one may be found first or last. It goes along with the outer one.
    assert counts("--function", NAME, status=1)["stale"] > 0
    assert keep("product:outer", outer) == before.replace("old", "new")


def test_nothing_cached_is_read_by_functions_that_are_computed_anew(product):
    assert listed() == "old"
    spoil(product)
    assert counts("--function", "rechecked.listed", status=1)["stale"] == 1
    assert listed() == "new"


def test_a_function_that_fails_is_inconclusive(caplog):
    """As one that needs a request does, outside of one."""
    request.set("/"), keep("product:1", path)
    request.set(None)
    assert counts()["functions"] == {NAME: {**NONE, "inconclusive": 1}}
    (said,) = caplog.messages
    assert said.startswith(f"'product:1' of {NAME} could not be computed again")


def test_in_a_transaction_that_has_written_everything_is_inconclusive():
    keep("product:1", names)
    with transaction.atomic():
        Category.objects.create(name="other")
        assert counts()["functions"] == {NAME: {**NONE, "inconclusive": 1}}


def test_nobody_is_made_to_call_a_function_by_what_is_in_the_cache(settings):
    """Anybody may be able to write there, but does not know the secret of the project."""
    keep("product:1", names)
    call = origins.call_of(names)
    assert call is not None
    with pytest.raises(LookupError):
        origins.function_of(((call[0][0].replace("names", "first"),), {}))
    settings.SECRET_KEY = "another"
    assert "its function cannot be found (LookupError)" in run("--verbosity=2")


class Shelf:
    @staticmethod
    def names() -> list[str]:
        return names()


def decorated() -> None: ...


there = decorated


def decorated() -> None: ...  # type: ignore[no-redef]


def test_only_what_its_name_leads_to_can_be_called_again():
    def local() -> None: ...

    assert origins.call_of(local) is origins.call_of(lambda: None) is origins.call_of(there) is None
    for function in (names, Shelf.names, decorated):
        call = origins.call_of(function)
        assert call is not None
        assert origins.function_of(call) is function
