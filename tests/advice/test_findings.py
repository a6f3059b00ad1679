"""Findings are made of figures alone: what there has to be for one, and what there must not be."""

from dataclasses import replace
from typing import Any

import pytest

from cache_invalidation.advice.advising import advice_on
from cache_invalidation.advice.findings import KINDS, MISSES, SECONDS, SUMMARIES
from cache_invalidation.advice.misses import REASONS, WEEK
from cache_invalidation.advice.situation import Situation
from cache_invalidation.advice.uses import DAY

NAME = "shop.menu"


def figures(**found: Any) -> Any:
    nothing: dict[str, Any] = {
        "missed": {},
        "dropped_by": {},
        "computed": 100,
        "seconds": 100.0,
        "p50": 1.0,
        "p95": 1.0,
        "saved": 0.0,
        "fills": 100,
        "bytes": 1000,
        "sampled_fills": 0,
        "hit_fills": 0,
        "compared_refills": 0,
        "equal_refills": 0,
        "equal_after": {},
    }
    return nothing | found


def needless(tag: str, number: int) -> Any:
    """Return figures of a function that was dropped for nothing so often."""
    return figures(
        missed={"invalidated": number},
        dropped_by={tag: number},
        compared_refills=number,
        equal_refills=number,
        equal_after={tag: number},
    )


def write(tag: str, **about: Any) -> Any:
    drop = {"tag": tag, "entity_type": "shop.product", "cause": "update", "route": ""}
    return drop | {"deliveries": 10} | about


def rule(**about: Any) -> Any:
    nothing: dict[str, Any] = {
        "rule": "shop.rules.ProductRule",
        "model": "shop.product",
        "entity_type": "shop.product",
        **dict.fromkeys(("tags", "keys", "patterns", "ignore", "volatile", "track", "code"), ()),
        "fields": None,
        "own_fields": {},
        "families": None,
        "defect": None,
    }
    return nothing | about


def situation(found: Any, dropped: Any = (), rules: Any = (), **about: Any) -> Situation:
    tags = ["shop.product", "shop.product:{pk}"]
    metrics: Any = {
        "hits": 100,
        "misses": 100,
        "hit_rate": 0.5,
        "functions": {NAME: {"hits": 100, "misses": 100, "bypasses": 0, "hit_rate": 0.5}},
        "figures": {NAME: found},
        "dropped": list(dropped),
        "not_stored": about.pop("not_stored", {}),
        "latency": {"p50": 0.001, "p95": 0.001, "p99": 0.001},
        "details_left_out": 0,
        "near_hits": {},
        "waits_by_name": {},
        "could_be_together": {},
    }
    entry = {"function": NAME, "tags": None, "code": [], "found": ["shop.product"], "timeout": 300}
    other = {"model": "shop.other", "tags": ["shop.other", "shop.other:{pk}"], "rules": []}
    overview: Any = {
        "models": [{"model": "shop.product", "tags": tags, "rules": list(rules)}, other],
        "functions": [entry | about.pop("entry", {})],
        "pages": [],
        "blocks": [],
        "events": [],
        "signals": [],
    }
    fields = {"shop.product": ("name", "stock")}
    given = {"round_trip": 0.001, "period": 2 * DAY, "row_limit": 500, "fields": fields}
    return Situation(metrics=metrics, overview=overview, **{**given, **about})


def kinds(*args: Any, **about: Any) -> list[str]:
    return [finding["kind"] for finding in advice_on(situation(*args, **about))["findings"]]


def test_every_kind_says_what_it_is():
    assert set(SUMMARIES) == set(KINDS)


@pytest.mark.parametrize(("misses", "found"), [(MISSES - 1, []), (MISSES, ["volatile"])])
def test_a_few_misses_are_chance(misses: int, found: list[str]):
    assert kinds(needless("shop.product", misses), [write("shop.product")]) == found


def test_what_takes_no_time_is_not_worth_a_change():
    figures = needless("shop.product", 50)
    for seconds, found in ((SECONDS, []), (2 * SECONDS, ["volatile"])):
        figures["seconds"] = seconds
        assert kinds(figures, [write("shop.product")]) == found


def test_what_is_a_small_part_of_all_is_not_either():
    found = situation(needless("shop.product", 50), [write("shop.product")])
    found.metrics["figures"]["other"] = figures(seconds=100_000.0)
    assert [each["kind"] for each in advice_on(found)["findings"]] == []


def test_a_hit_more_of_a_hundred_reads_is_not_either():
    found = situation(needless("shop.product", 50), [write("shop.product")])
    found.metrics["functions"][NAME]["hits"] = 10_000
    assert advice_on(found)["findings"] == []


def test_without_a_write_that_is_known_there_is_no_finding():
    assert kinds(needless("shop.product", 50)) == []


@pytest.mark.parametrize("about", [{"entity_type": "shop.basket"}, {"cause": "create"}], ids=str)
def test_a_write_that_may_be_of_something_else_is_no_evidence(about: Any):
    assert kinds(needless("shop.product", 50), [write("shop.product", **about)]) == []


def test_writes_of_several_kinds_have_their_shares():
    drops = [write("shop.product"), write("shop.product", cause="create", deliveries=30)]
    (finding,) = advice_on(situation(needless("shop.product", 160), drops))["findings"]
    assert finding["evidence"] == {"invalidated": 160, "equal_refills": 40, "deliveries": 10}
    assert (finding["hit_rate"], finding["expected_hit_rate"]) == (0.5, 0.7)
    assert finding["seconds"] == 40


def test_what_is_declared_already_is_not_advised_again():
    drops = [write("shop.product")]
    settled = rule(volatile=["stock"], ignore=["name"])
    assert kinds(needless("shop.product", 50), drops, [settled]) == []
    about: Any = {
        "columns": {"shop.product": {"category_id": "category"}},
        "parameters": {NAME: ("category_id",)},
    }
    assert kinds(needless("shop.product", 50), drops, **about) == ["track"]
    tracked = rule(track=["category"], volatile=["stock"], ignore=["name"])
    assert kinds(needless("shop.product", 50), drops, [tracked], **about) == []


def test_of_two_parameters_nobody_knows_which_one_is_asked_by():
    columns = {"shop.product": {"category_id": "category", "shop": "shop"}}
    found = needless("shop.product", 50), [write("shop.product")]
    assert kinds(*found, columns=columns, parameters={NAME: ("category_id", "shop")}) == [
        "volatile"
    ]


def test_fields_that_somebody_has_thought_about_are_left_alone():
    found = needless("menu:{}", 50), [write("menu:{}")]
    assert kinds(*found, [rule(tags=["menu:{pk}"])]) == ["fields"]
    assert kinds(*found, [rule(tags=["menu:{pk}"], fields=["name"])]) == []
    assert kinds(*found, [rule(tags=["menu:{pk}"], own_fields={"menu:{pk}": ["name"]})]) == []


def test_families_are_those_that_the_code_has_named():
    drops = [write("*"), write("shelf:{}")]
    code = rule(code=["get_tags"])
    (finding,) = advice_on(situation(needless("*", 50), drops, [code]))["findings"]
    assert finding["kind"] == "families"
    assert 'families = ["shelf"]' in finding["patch"]
    assert kinds(needless("*", 50), drops[:1], [code]) == []  # It has named none yet.
    # What depends on the family is dropped all the same.
    assert kinds(needless("*", 50), drops, [code], entry={"found": ["shelf:*"]}) == []


def test_statements_that_failed_are_told_by_their_cause():
    found = advice_on(situation(needless("*", 50), [write("*", cause="unknown", route="import/")]))
    assert [(each["kind"], each["name"]) for each in found["findings"]] == [
        ("statement", "import/")
    ]


def test_the_limit_of_rows_is_not_raised_for_ever():
    found = needless("shop.product:*", 50), [write("shop.product:*")]
    looked_at = frozenset({"shop.product"})
    assert kinds(*found, looked_at=looked_at) == ["row_limit"]
    assert kinds(*found, looked_at=looked_at, row_limit=50_000) == []


@pytest.mark.parametrize(
    "entry", [{"timeout": None}, {"timeout": WEEK}, {"found": [], "tags": None}], ids=str
)
def test_what_cannot_be_kept_longer_is_left_alone(entry: Any):
    assert kinds(figures(missed={"expired": 50})) == ["timeout"]
    assert kinds(figures(missed={"expired": 50}), entry=entry) == []


def test_only_what_is_loaded_and_hit_often_is_to_be_refreshed():
    entry: dict[str, Any] = {"found": []}
    expired = figures(missed={"expired": 80}, fills=1)
    loaded: Any = {"parameters": {NAME: ()}}
    assert kinds(expired, entry=entry, **loaded) == ["refresh"]
    assert kinds(expired, entry=entry) == []
    assert kinds(expired, entry=entry, refreshed=frozenset({NAME}), **loaded) == []
    assert kinds(expired | {"fills": 100}, entry=entry, **loaded) == []


def test_what_is_dropped_as_often_as_it_expires_gains_half():
    found = situation(figures(missed={"expired": 80, "invalidated": 80}))
    found.metrics["functions"][NAME]["misses"] = 900
    (finding,) = advice_on(found)["findings"]
    assert finding["expected_hit_rate"] == 0.14


@pytest.mark.parametrize("reason", [*REASONS, "exception", "unavailable"])
def test_only_reasons_with_a_cure_are_named(reason: str):
    found = situation(figures(missed={"not_stored": 60}), not_stored={NAME: {reason: 60}})
    patches = [finding["patch"] for finding in advice_on(found)["findings"]]
    assert patches == ([f"# {reason}: {REASONS[reason]}"] if reason in REASONS else [])


def test_what_may_still_be_hit_is_not_called_useless():
    never = figures(sampled_fills=100, missed={"new": 100})
    found = situation(never, round_trip=1.0)
    found.metrics["functions"][NAME]["hits"] = 0
    found.metrics["figures"][NAME]["seconds"] = 1000.0
    assert [each["kind"] for each in advice_on(found)["findings"]] == ["unhit"]
    for period in (None, 299.0):
        soon = replace(found, period=period)
        assert advice_on(soon)["findings"] == []


def test_what_saves_most_comes_first():
    found = situation(figures(missed={"expired": 40, "evicted": 60}))
    advice = advice_on(found)
    assert [each["kind"] for each in advice["findings"]] == ["memory", "timeout"]
    assert advice == advice_on(found)
