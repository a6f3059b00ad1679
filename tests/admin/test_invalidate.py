"""Invalidating by hand, step by step."""

from uuid import UUID

import pytest
from django.db import connection

from cache_invalidation import Invalidation, ModelInvalidation, cached, registry
from cache_invalidation.admin import invalidating
from cache_invalidation.metrics.counters import counters
from cache_invalidation.models import AuditEntry, PendingInvalidation
from cache_invalidation.tags import row_tag
from tests.admin.conftest import last_entry, page, send
from tests.delivered import delivered
from tests.testapp.models import Category, Product
from tests.testapp.unusual import Composite

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])

calls: list[str] = []


@cached(tags=["page:{name}"])
def read(name: str) -> int:
    calls.append(name)
    return len(calls)


class Rule(ModelInvalidation):
    tags = ["category:{category_id}"]
    keys = ["detail:{pk}"]


@pytest.fixture
def product():
    with registry.override(Product, Rule):
        yield Product.objects.create(name="a", category=Category.objects.create(name="c"))


def confirm(client, token="t", **data):
    return send(client, "invalidate/", confirm="1", token=token, **data)


def test_a_preview_touches_nothing(client, product):
    value = read("x")
    with delivered() as found:
        text = send(
            client,
            "invalidate/",
            preview="1",
            tags="page:x",
            entities=f"testapp.product:{product.pk}",
        )
    assert found == []
    assert read("x") == value
    assert not AuditEntry.objects.exists()
    assert "Nothing has been invalidated yet" in text
    assert f"<code>category:{product.category_id}</code>" in text
    assert f"<code>detail:{product.pk}</code>" in text
    assert (
        f"By the rule <code>{__name__}.Rule</code> on a write to <code>testapp.product</code>"
        in text
    )
    assert "Named by you" in text


def test_what_is_confirmed_is_invalidated(client, product):
    value, other = read("x"), read("other")
    with delivered() as found:
        text = confirm(
            client,
            tags="page:x\n\n homepage ",
            keys="menu",
            patterns="list:*",
            entities=f"testapp.product:{product.pk}",
            reason="repaired by SQL",
        )
    assert "It was invalidated." in text
    assert read("x") != value
    assert read("other") == other
    assert {"page:x", "homepage", f"category:{product.category_id}"} <= found.tags
    assert found.keys == {"menu", f"detail:{product.pk}"}
    assert found.patterns == {"list:*"}
    entry = last_entry()
    assert (entry.action, entry.origin, entry.result) == ("invalidate", "admin", "done")
    assert (entry.user, entry.address, entry.reason) == ("user0", "127.0.0.1", "repaired by SQL")
    assert "homepage" in entry.targets["tags"]


def test_a_model_alone_stands_for_every_row(client, product):
    with delivered() as found:
        confirm(client, entities="testapp.product")
    assert {"testapp.product:*", "category:*"} <= found.tags


def test_a_row_may_have_a_key_of_several_columns(client):
    with delivered() as found:
        confirm(client, entities=f'testapp.composite:[1, "{UUID(int=2)}"]')
    assert found.tags == {"testapp.composite", row_tag(Composite, (1, UUID(int=2)))}


def test_everything_is_dropped_if_the_box_is_ticked(client):
    value = read("x")
    assert "This empties the cache" in send(client, "invalidate/", preview="1", everything="on")
    assert read("x") == value
    confirm(client, everything="on")
    assert read("x") != value


@pytest.mark.parametrize(
    ("field", "text", "complaint"),
    [
        ("entities", "no.such:1", "There is no model"),
        ("entities", "nonsense", "There is no model"),
        ("entities", "testapp.product:abc", "no primary key of testapp.Product"),
        ("entities", "testapp.composite:1", "which is: tenant, number"),
        ("entities", "testapp.composite:[1, 2, 3]", "3 values are given"),
        ("entities", "admin.logentry:1", "Nobody watches"),
        ("tags", "x" * 300, "must not be longer"),
        ("tags", "*", "tick the box"),
        ("tags", "category:4*", "is no pattern"),
        ("keys", "a\x00b", "Null characters"),
        ("patterns", "**", "would delete every key"),
        ("events", "user.updated {nonsense", "JSON object"),
        ("events", "user.updated [1]", "JSON object"),
        ("tags", "\n".join(map(str, range(1001))), "At most 1000 lines"),
        ("reason", "x" * 2000, "at most 1000 characters"),
        ("tags", " \n ", "Say what is to be invalidated"),
    ],
)
@pytest.mark.parametrize("step", ["preview", "confirm"])
def test_what_cannot_be_is_refused(client, field, text, complaint, step):
    with delivered() as found:
        answer = send(client, "invalidate/", **{"tags": "kept", field: text, step: "1"})
    assert complaint in answer
    assert found == []
    assert not AuditEntry.objects.exists()


def test_changing_ones_mind_keeps_what_was_typed(client):
    text = send(client, "invalidate/", edit="1", tags="homepage", reason="because")
    assert "homepage</textarea>" in text
    assert 'value="because"' in text
    assert not AuditEntry.objects.exists()


def test_a_link_can_fill_in_the_form(client):
    assert "homepage</textarea>" in page(client, "invalidate/", tags="homepage")


def test_a_double_click_invalidates_once(client):
    confirm(client, tags="a", token="same")
    with delivered() as found:
        text = confirm(client, tags="a", token="same")
    assert found == []
    assert "It was invalidated." in text
    assert AuditEntry.objects.count() == 1


def test_each_preview_can_be_confirmed(client):
    form = send(client, "invalidate/", preview="1", tags="a")
    again = send(client, "invalidate/", preview="1", tags="a")
    tokens = [text.partition('name="token" value="')[2].partition('"')[0] for text in (form, again)]
    assert all(tokens)
    assert tokens[0] != tokens[1]


@pytest.fixture
def subscriber():
    def of_user(event):
        return Invalidation(tags=[f"user:{event.user_id}"])

    registry.on_event("user.*", of_user)
    yield of_user
    registry.off_event(of_user)


def test_an_event_invalidates_what_its_subscribers_answer(client, subscriber):
    assert "Known events: user.*" in page(client, "invalidate/")
    event = 'user.updated {"user_id": 3}'
    text = send(client, "invalidate/", preview="1", events=event)
    assert "<code>user:3</code>" in text
    assert subscriber.__qualname__.replace("<", "&lt;").replace(">", "&gt;") in text
    with delivered() as found:
        confirm(client, events=event)
    assert found.tags == {"user:3"}


def test_an_event_that_nobody_listens_to_is_refused(client, subscriber):
    text = send(client, "invalidate/", events="usr.updated", confirm="1")
    assert "No event &#x27;usr.updated&#x27; has a subscriber" in text
    assert not AuditEntry.objects.exists()


def test_a_pattern_that_the_cache_cannot_delete_by_is_refused(client, settings):
    settings.CACHE_INVALIDATION = {"CACHE": "redis_django"}
    assert "knows no patterns" in send(client, "invalidate/", patterns="list:*", confirm="1")
    assert not AuditEntry.objects.exists()


def test_a_subscriber_that_empties_the_cache_is_warned_of(client):
    def everything(event):
        return Invalidation(tags=["*"])

    registry.on_event("all", everything)
    try:
        assert "This empties the cache" in send(client, "invalidate/", events="all", preview="1")
    finally:
        registry.off_event(everything)


@pytest.mark.parametrize("step", ["preview", "confirm"])
def test_a_subscriber_that_raises_is_no_error_of_the_page(client, subscriber, step):
    text = send(client, "invalidate/", events="user.updated", tags="a", **{step: "1"})
    assert "A subscriber cannot cope with it" in text
    assert "user_id" in text
    assert not AuditEntry.objects.exists()


def test_during_an_outage_it_waits_in_the_outbox(client, down):
    text = confirm(client, tags="homepage")
    assert "waits in the outbox" in text
    assert "See it in the outbox" in text
    row = PendingInvalidation.objects.get(targets__tags=["homepage"])
    entry = last_entry()
    assert (entry.result, entry.detail["pending"]) == ("pending", [row.pk])


def test_without_an_outbox_it_fails_and_says_so(client, down):
    down(ON_STORE_FAILURE="ignore")
    assert "nothing was invalidated" in confirm(client, tags="homepage")
    assert last_entry().result == "failed"


def test_it_is_done_even_if_the_audit_log_cannot_be_written(client, monkeypatch):
    def refuse(self, *args, **kwargs):
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(AuditEntry, "save", refuse)
    with delivered() as found:
        text = confirm(client, tags="homepage")
    assert found.tags == {"homepage"}
    assert "The audit log cannot be written" in text


def test_an_error_that_comes_after_it_does_not_undo_the_entry(client, monkeypatch):
    def fail(*args):
        raise RuntimeError("after it")

    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", True)
    monkeypatch.setattr(invalidating.InvalidateAdmin, "_to_result", fail)
    with pytest.raises(RuntimeError, match="after it"):
        confirm(client, tags="homepage")
    assert last_entry().result == "done"


def test_the_result_of_another_is_for_those_who_see_the_log(client, as_user):
    confirm(client, tags="homepage")
    result = f"invalidate/{last_entry().pk}/"
    assert "homepage" in page(as_user("view_metrics", "invalidate_cache"), result)
    page(as_user("invalidate_cache"), result, status=404)
    page(as_user("view_metrics"), result, status=403)


def test_only_invalidations_have_a_result(client):
    entry = AuditEntry.objects.create(action="reset-metrics", user="x", origin="admin")
    page(client, f"invalidate/{entry.pk}/", status=404)


def test_a_function_is_dropped_by_its_name(client):
    value, other = read("x"), read("other")
    text = send(client, "invalidate/", preview="1", names=f"{__name__}.read")
    assert f"<code>{__name__}.read()</code>" in text
    assert f'name="names" value="{__name__}.read"' in text
    assert (read("x"), read("other")) == (value, other)
    with delivered() as found:
        assert "It was invalidated." in confirm(client, names=f"{__name__}.read")
    assert found.tags == {f"{__name__}.read()"}
    assert read("x") != value
    assert read("other") != other


def test_pages_are_dropped_by_view_and_path(client):
    counters.add("hits:page:shop.views.cart")
    with delivered() as found:
        confirm(client, names="shop.views.cart\n/admin/")
    assert found.tags == {"page:shop.views.cart", "page:/admin/"}


def test_a_name_that_nobody_knows_is_refused_with_what_comes_close(client):
    text = confirm(client, names=f"{__name__}.raed\n/nowhere/")
    assert f"No cached function, page or block is called &#x27;{__name__}.raed&#x27;" in text
    assert f"Did you mean {__name__}.read" in text
    assert "No URL in ROOT_URLCONF leads to a page at &#x27;/nowhere/&#x27;" in text
