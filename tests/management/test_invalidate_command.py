"""The command `invalidate_cache`, and that what is done by hand is in the audit log."""

import getpass
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from io import StringIO
from typing import Any

import pytest
from django.core.cache import cache
from django.core.management import CommandError, call_command

from cache_invalidation import Event, Invalidation, ModelInvalidation, cached, on_event, registry
from cache_invalidation.delivery.outbox import rows
from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.models import AuditEntry, PendingInvalidation
from cache_invalidation.stores import get_store
from example_project.servers import ValkeyServer
from tests.stores.steps import wait_until
from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


@cached(tags=["category:{number}", "homepage"], name="invalidate.page")
def page(number: int | None) -> list[int | None]:
    calls.append(number)
    return [number]


calls: list[int | None] = []


def is_cached(number: int | None) -> bool:
    before = len(calls)
    page(number)
    return len(calls) == before


@pytest.fixture(autouse=True)
def rule() -> Iterator[None]:
    class Rule(ModelInvalidation):
        tags = ["category:{category_id}"]
        keys = ["detail:{pk}"]

    with registry.override(Product, Rule):
        yield


@pytest.fixture
def product() -> Product:
    category = Category.objects.create(name="Tea")
    return Product.objects.create(name="Assam", category=category)


def run(*arguments: str, **options: Any) -> dict[str, Any]:
    output = StringIO()
    call_command("invalidate_cache", *arguments, format="json", stdout=output, **options)
    found: dict[str, Any] = json.loads(output.getvalue())
    return found


def answering(monkeypatch: pytest.MonkeyPatch, answer: str | None) -> list[str]:
    """Give `answer` whenever somebody is asked; return the prompts, which stdout is not for."""
    asked: list[str] = []

    def ask(prompt: str = "") -> str:
        asked.append(prompt)
        if answer is None:
            raise EOFError
        return answer

    monkeypatch.setattr("builtins.input", ask)
    return asked


def test_a_row_is_invalidated_as_if_it_had_been_saved(product: Product):
    cache.set(f"detail:{product.pk}", "old")
    page(product.category_id)
    found = run("testapp.Product", str(product.pk))
    assert found["result"] == "done"
    assert f"testapp.product:{product.pk}" in found["tags"]
    assert f"category:{product.category_id}" in found["tags"]
    assert found["entities"] == {"testapp.product": 1}
    assert not is_cached(product.category_id)
    assert cache.get(f"detail:{product.pk}") is None


def test_a_row_that_is_gone_can_be_invalidated_too():
    assert "testapp.product:12345" in run("testapp.Product", "12345")["tags"]


def test_a_model_stands_for_all_of_its_rows(product: Product):
    page(product.category_id)
    assert {"testapp.product", "testapp.product:*", "category:*"} <= set(
        run("testapp.product")["tags"]
    )
    assert not is_cached(product.category_id)


def test_names_are_invalidated_as_they_are():
    page(1)
    page(2)
    cache.set_many({"a": 1, "list:1": 1, "list:2": 1})
    found = run("--tag", "category:1", "--key", "a", "--pattern", "list:*")
    assert (found["tags"], found["keys"], found["patterns"]) == (["category:1"], ["a"], ["list:*"])
    assert [is_cached(1), is_cached(2)] == [False, True]
    assert cache.get_many(["a", "list:1", "list:2"]) == {}


@contextmanager
def subscribed(name: str, answer: Callable[[Event], Invalidation | None]) -> Iterator[None]:
    on_event(name)(answer)
    try:
        yield
    finally:
        registry.off_event(answer)


def about_a_category(event: Event) -> Invalidation:
    return Invalidation(tags=[f"category:{event.number}"])


def test_an_event_stands_for_what_its_subscribers_say():
    with subscribed("page.changed", about_a_category):
        page(3)
        found = run("--event", "page.changed", "--payload", '{"number": 3}')
    assert found["tags"] == ["category:3"]
    assert not is_cached(3)


@pytest.mark.parametrize("options", [{}, {"dry_run": True}])
def test_an_event_that_a_subscriber_cannot_cope_with_is_an_error(options: dict[str, Any]):
    with (
        subscribed("page.changed", about_a_category),
        pytest.raises(CommandError, match=r"'page\.changed' cannot .* carries no 'number'"),
    ):
        run("--event", "page.changed", **options)
    assert not AuditEntry.objects.exists()


def test_a_misspelled_event_is_refused_with_a_suggestion():
    with (
        subscribed("page.changed", about_a_category),
        pytest.raises(CommandError, match=r"Did you mean page\.changed\?"),
    ):
        run("--event", "page.chnged")
    assert not AuditEntry.objects.exists()


def test_subscribers_that_name_nothing_are_not_said_to_have_invalidated_something():
    output = StringIO()
    with subscribed("page.changed", lambda event: None):
        call_command("invalidate_cache", "--event", "page.changed", stdout=output)
    assert output.getvalue() == "Nothing to invalidate: its subscribers name nothing\n"


def test_a_dry_run_touches_nothing(product: Product, django_assert_num_queries: Any):
    page(product.category_id)
    before = read_metrics()
    with django_assert_num_queries(1):  # The row.
        found = run("testapp.Product", str(product.pk), dry_run=True, everything=True)
    assert found["dry_run"] is True
    assert found["result"] is None
    assert f"category:{product.category_id}" in found["tags"]
    assert is_cached(product.category_id)
    assert read_metrics()["invalidations_by_entity_type"] == before["invalidations_by_entity_type"]
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize("arguments", [["--everything"], ["--tag", "*"], ["--pattern", "*"]])
@pytest.mark.parametrize("answer", ["no", "", None])
def test_it_asks_before_it_empties_the_cache(monkeypatch, arguments, answer):
    page(1)
    asked = answering(monkeypatch, answer)
    with pytest.raises(CommandError):
        run(*arguments)
    assert len(asked) == 1
    assert is_cached(1)
    assert not AuditEntry.objects.exists()


@pytest.mark.parametrize(
    ("arguments", "what"),
    [
        (["--everything"], "all cached values, pages and blocks"),
        (["--pattern", "*"], "every plain key in the cache"),
    ],
)
def test_the_question_is_not_in_the_way_of_the_answer(monkeypatch, capsys, arguments, what):
    asked = answering(monkeypatch, "yes")
    call_command("invalidate_cache", *arguments, format="json")
    output, errors = capsys.readouterr()
    assert json.loads(output)["result"] == "done"
    assert (asked, errors.strip()) == ([""], f"This drops {what}. Type 'yes' to go on:")


def test_it_asks_as_well_if_it_is_a_subscriber_that_says_everything(monkeypatch):
    page(1)
    asked = answering(monkeypatch, "no")
    with (
        subscribed("page.changed", lambda event: Invalidation(tags=["*"])),
        pytest.raises(CommandError, match="Nothing was invalidated"),
    ):
        run("--event", "page.changed")
    assert len(asked) == 1
    assert is_cached(1)
    assert not AuditEntry.objects.exists()


def test_everything_leaves_plain_keys_alone():
    cache.set("front-page", "old")
    page(1)
    run("--everything", yes=True)
    assert cache.get("front-page") == "old"
    assert not is_cached(1)


@pytest.mark.parametrize("yes", [True, False])
def test_it_empties_the_cache_if_it_is_told_so(monkeypatch, yes):
    page(1)
    asked = answering(monkeypatch, "yes")
    assert run("--everything", yes=yes)["tags"] == ["*"]
    assert len(asked) == (0 if yes else 1)
    assert not is_cached(1)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        ([], "Say what"),
        (["testapp.Produkt"], "Did you mean testapp.Product"),
        (["testapp.Product", "x"], "no primary key"),
        (["testapp.Product", "1", "2"], "2 values are given"),
        (["admin.LogEntry", "1"], "see EXCLUDE"),
        (["--tag", ""], "must not be empty"),
        (["--tag", "category:4*"], "is no pattern"),
        (["--key", "x" * 300], "250 characters"),
        (["--payload", "{}"], "--event only"),
        (["--database", "other"], "goes with a model only"),
        (["testapp.Product", "--database", "nope"], "nope.*choose from"),
        (["--event", "e"], "No event 'e' has a subscriber"),
        (["--event", "e", "--payload", "{"], "no JSON"),
        (["--event", "e", "--payload", "[]"], "JSON object"),
    ],
)
def test_what_makes_no_sense_is_refused(arguments: list[str], complaint: str):
    with pytest.raises(CommandError, match=complaint):
        run(*arguments)
    assert not AuditEntry.objects.exists()


def test_a_cache_that_knows_no_patterns_says_so(settings):
    settings.CACHE_INVALIDATION = {"CACHE": "redis_django"}
    with pytest.raises(CommandError, match="knows no patterns"):
        run("--pattern", "list:*")


def test_patterns_of_rules_that_such_a_cache_cannot_delete_by_are_an_error(settings):
    settings.CACHE_INVALIDATION = {"CACHE": "redis_django"}
    output = StringIO()
    with pytest.raises(CommandError, match="no pattern deletes anything"):
        call_command("invalidate_cache", "testapp.Product", stdout=output)
    lines = [line.split() for line in output.getvalue().splitlines()]
    assert lines[0] == ["Invalidated,", "but", "for", "what", "is", "lost"]
    assert ["tags", "testapp.product"] in lines
    assert lines[-1] == ["lost", "detail:*"]


def test_a_row_is_looked_at_in_the_database_that_is_named(product: Product):
    category = Category.objects.using("other").create(pk=7_000, name="Tea")
    Product.objects.using("other").create(pk=product.pk, name="Assam", category=category)
    assert "category:7000" in run("testapp.Product", str(product.pk), database="other")["tags"]
    assert "category:7000" not in run("testapp.Product", str(product.pk))["tags"]


def test_a_row_that_changes_while_somebody_is_asked_is_read_again(
    product: Product, monkeypatch: pytest.MonkeyPatch
):
    def answer(*prompt: str) -> str:
        Product.objects.filter(pk=product.pk).update(category=Category.objects.create(pk=8_000))
        return "yes"

    monkeypatch.setattr("builtins.input", answer)
    found = run("testapp.Product", str(product.pk), "--everything")
    assert "category:8000" in found["tags"]


def test_the_audit_log_says_who_what_and_why():
    found = run("--tag", "category:1", "--key", "a", reason="ticket 7")
    entry = AuditEntry.objects.get(pk=found["audit"])
    assert (entry.action, entry.origin, entry.result) == ("invalidate", "command", "done")
    assert (entry.user, entry.address) == (getpass.getuser(), socket.gethostname())
    assert entry.targets == {"tags": ["category:1"], "keys": ["a"], "patterns": []}
    assert entry.reason == "ticket 7"
    call_command("reset_cache_metrics", reason="a new week", stdout=StringIO())
    entry = AuditEntry.objects.latest("pk")
    assert (entry.action, entry.result, entry.reason) == ("reset-metrics", "done", "a new week")


@pytest.fixture
def use(settings: Any, valkey: ValkeyServer) -> Callable[..., None]:
    def use(**package_settings: Any) -> None:
        settings.CACHES = settings.CACHES | {
            "default": settings.CACHES["default"] | {"LOCATION": valkey.url}
        }
        settings.CACHE_INVALIDATION = {"RETRY_INTERVAL": 0.05, **package_settings}

    return use


def test_while_the_cache_is_down_it_waits_in_the_outbox(use, valkey: ValkeyServer):
    use()
    page(1)
    valkey.kill()
    found = run("--tag", "category:1")
    assert found["result"] == "pending"
    assert found["pending"] == [PendingInvalidation.objects.get().pk]
    assert AuditEntry.objects.get().result == "pending"
    valkey.start()
    wait_until(lambda: get_store().breaker.is_working)
    assert not PendingInvalidation.objects.exists()


def test_what_cannot_wait_either_is_an_error(use, valkey: ValkeyServer):
    use(ON_STORE_FAILURE="ignore")
    valkey.kill()
    with pytest.raises(CommandError, match=r"does not answer, .* since ON_STORE_FAILURE is"):
        run("--tag", "category:1")
    assert AuditEntry.objects.get().result == "failed"


def test_without_an_outbox_a_hint_says_how_to_get_one(use, valkey: ValkeyServer, monkeypatch):
    use()
    valkey.kill()
    monkeypatch.setattr(rows, "keep", lambda *args, **kwargs: None)
    with pytest.raises(CommandError, match="no outbox to wait in; run migrate"):
        run("--tag", "category:1")


def test_patterns_on_a_cache_that_does_not_exist_are_an_error(settings):
    settings.CACHE_INVALIDATION = {"CACHE": "nowhere", "ON_STORE_FAILURE": "ignore"}
    with pytest.raises(CommandError, match="does not answer"):
        run("--pattern", "list:*")


def test_an_audit_log_that_cannot_be_written_keeps_nobody_from_acting(monkeypatch, caplog):
    monkeypatch.setattr(AuditEntry, "save", lambda *args, **kwargs: 1 / 0)
    page(1)
    assert run("--tag", "category:1")["result"] == "done"
    assert not is_cached(1)
    assert "is not in the audit log" in caplog.text


def test_all_values_of_a_function_go_by_its_name():
    page(1), page(2)
    assert run("invalidate.page")["tags"] == ["invalidate.page()"]
    assert not is_cached(1)
    assert not is_cached(2)


def test_several_names_go_at_once():
    counters.add("hits:page:shop.views.cart", "hits:block:shop/base.html:menu")
    found = run("invalidate.page", "--name", "shop.views.cart", "--name", "shop/base.html")
    assert found["tags"] == ["block:shop/base.html", "invalidate.page()", "page:shop.views.cart"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["invalidate.pag"],
            r"no model 'invalidate.pag', and no .* Did you mean invalidate.page\?",
        ),
        (["testapp.Prodct"], r"no model 'testapp.Prodct', and no .* mean testapp.Product"),
        (["--name", "invalidate.pag"], r"is called 'invalidate.pag'. Did you mean invalidate.page"),
        (["invalidate.page", "1"], r"There is no model 'invalidate.page'"),
        (["/nowhere/"], r"^No URL in ROOT_URLCONF leads to a page at"),
    ],
)
def test_a_name_that_nobody_knows_is_an_error(arguments, message):
    page(1)
    with pytest.raises(CommandError, match=message):
        run(*arguments)
    assert is_cached(1)


def test_a_tag_that_nothing_depends_on_is_said_to_be_one():
    known = ["--tag", "category:3", "--tag", "homepage", "--name", "invalidate.page"]
    assert run("--tag", "categroy:3", *known, "--dry-run")["unread"] == ["categroy:3"]
    assert run("--everything", *known, "--dry-run")["unread"] == []
    output = StringIO()
    call_command("invalidate_cache", "--tag", "categroy:3", *known, stdout=output)
    last = output.getvalue().splitlines()[-1]
    assert last == "No known function, page or block depends on categroy:3"
    assert AuditEntry.objects.get().detail["unread"] == ["categroy:3"]
