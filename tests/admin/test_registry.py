"""What depends on what, as the page tells it."""

import re
from urllib.parse import quote

import pytest
from django.core.signals import setting_changed
from django.db.models import Model

from cache_invalidation import Invalidation, ModelInvalidation, Pattern, cached, registry
from cache_invalidation.admin import drawing
from cache_invalidation.admin.graph import Target, anchor, graph
from cache_invalidation.reads import functions
from cache_invalidation.reads.functions import by_name
from cache_invalidation.stores import get_store
from tests.admin.conftest import page
from tests.ruled import in_force
from tests.testapp.matrix import Shelf
from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db(databases=["default", "other", "sqlite"])


class ProductRule(ModelInvalidation):
    tags = ["category:{category_id}"]
    keys = ["detail:{pk}"]
    patterns = [Pattern("list:{category_id}:*", fields=["stock"])]
    fields = ["name"]
    ignore = ["slug"]
    track = ["category"]
    entity_type = "goods"
    families = ["badge"]

    def get_tags(self, change):
        return ["badge:1"]


@cached(tags=["category:{number}", Category, lambda number: "x"])
def page_of_category(number: int) -> int:
    return number


@cached
def page_that_finds_out() -> int:
    return 1


@cached(name="named by hand")
def page_named_by_hand() -> int:
    return 1


class Methods:
    @staticmethod
    @cached(tags=["homepage"])
    def method() -> int:
        return 1


rule = in_force({Product: ProductRule})


@pytest.fixture
def only_these(monkeypatch):
    """Hide the functions of other tests."""
    known = {name: found for name, found in by_name().items() if name.startswith(__name__)}
    monkeypatch.setattr(functions, "by_name", lambda: known)


def model_node(label, query=""):
    (found,) = [node for node in graph(query).models if node.label == label]
    return found


def test_a_rule_is_shown_as_it_is_declared(client):
    node = model_node("testapp.product")
    built_in, rule = node.rules
    assert [(target.kind, target.name) for target in built_in.targets] == [
        ("tag", "testapp.product"),
        ("tag", "testapp.product:{pk}"),
        ("tag", "testapp.product.category_id:{category_id}"),
    ]
    assert [(target.kind, target.name) for target in rule.targets] == [
        ("tag", "category:{category_id}"),
        ("tag", "badge:*"),
        ("key", "detail:{pk}"),
        ("pattern", "list:{category_id}:*"),
    ]
    text = page(client, "registry/")
    section = text[text.index(f'id="{node.anchor}"') :].partition("</section>")[0]
    for target in built_in.targets + rule.targets:
        assert f"<code>{target.name}</code>" in section
    assert f"{__name__}.ProductRule" in section
    assert "<strong>goods</strong>" in section
    assert "Goes only if one of these fields changes: name" in section
    assert "list:{category_id}:* goes only if one of these does: stock" in section
    assert "Nothing goes if only these fields change: slug" in section
    assert "its own code: get_tags" in section
    assert "it drops these families: badge" in section


def test_a_rule_whose_code_stands_for_everything_says_so(client):
    class Silent(ModelInvalidation):
        def get_tags(self, change):
            return ["badge:1"]

    with registry.override(Product, Silent):
        assert "it drops everything" in page(client, "registry/")


def test_who_reads_a_tag_of_a_family_is_found(client):
    @cached(tags=["badge:{number}"], name="page of a badge")
    def page_of_badge(number: int) -> int:
        return number

    readers = model_node("testapp.product").readers[Target("tag", "badge:*")]
    assert [node.name for node in readers] == ["page of a badge"]


def test_functions_are_shown_with_what_they_read_called_or_not(client):
    nodes = {node.name.removeprefix(f"{__name__}."): node for node in graph().functions}
    assert nodes["page_of_category"].entry["tags"] == ["category:{number}", "testapp.category"]
    assert nodes["Methods.method"].entry["tags"] == ["homepage"]
    assert nodes["page_that_finds_out"].entry["tags"] is None
    assert nodes["named by hand"].entry["tags"] is None
    readers = model_node("testapp.product").readers
    function = nodes["page_of_category"]
    assert function in readers[Target("tag", "category:{category_id}")]
    assert Target("key", "detail:{pk}") not in readers
    text = page(client, "registry/")
    link = function.anchor
    assert f'href="#{link}"' in text
    assert f'id="{link}"' in text


def test_what_a_function_finds_out_links_it_once_it_was_called(client):
    @cached(name="registry.shelves")
    def shelves() -> list[int]:
        return list(Shelf.objects.values_list("pk", flat=True))

    shelves()
    readers = model_node("testapp.shelf").readers[Target("tag", "testapp.shelf")]
    assert "registry.shelves" in [node.name for node in readers]
    assert "found out" in page(client, "registry/", q="registry.shelves")


@pytest.mark.parametrize(
    "query", ["TESTAPP.product", "ProductRule", "detail:", "list:{", "goods", "page_of_category"]
)
def test_a_search_finds_a_model_by_whatever_belongs_to_it(query):
    labels = [node.label for node in graph(query).models]
    assert "testapp.product" in labels
    assert "airports.airport" not in labels


def test_a_search_that_finds_nothing_says_so(client):
    assert "Nothing is called like that" in page(client, "registry/", q="<script>")


def test_events_and_signals_are_shown(client):
    def subscriber(event):
        return Invalidation(tags=["x"])

    def handler(sender, **kwargs):
        return None

    registry.on_event("user.*", subscriber)
    registry.connect(setting_changed, handler)
    try:
        text = page(client, "registry/", q="")
        found = graph()
    finally:
        registry.off_event(subscriber)
        registry.disconnect(setting_changed, handler)
    subscribers = [f"{__name__}.{subscriber.__qualname__}"]
    assert {"event": "user.*", "subscribers": subscribers} in found.events
    assert found.signals[0]["signal"] == "django.core.signals.setting_changed"
    assert "user.*" in text
    assert "django.core.signals.setting_changed" in text


def test_a_rule_that_cannot_be_used_says_why(client):
    class Broken(ModelInvalidation):
        tags = ["{pk}"]

    with registry.override(Product, Broken):
        assert "needs a literal family" in page(client, "registry/")


@pytest.mark.usefixtures("only_these")
def test_models_without_a_rule_are_listed():
    assert "testapp.shelf" in graph().others
    assert "testapp.product" not in graph().others
    assert not [label for label in graph().others if label.startswith("sessions")]


def test_numbers_of_the_drawing_are_those_of_svg(client, settings):
    settings.USE_THOUSAND_SEPARATOR = True

    class Wide(ModelInvalidation):
        tags = [f"tag{number}:{{pk}}" for number in range(40)]

    with registry.override(Product, Wide):
        text = page(client, "registry/", q="testapp.product")
    assert re.search(r'viewBox="-2 -2 \d+ \d{4}"', text)
    assert re.search(r'<rect x="\d+" y="\d{4}"', text)
    assert not re.search(r'="\d+,\d+"', text)


@pytest.mark.usefixtures("only_these")
def test_every_line_of_the_drawing_ends_at_boxes(client):
    found = drawing.draw(graph("testapp.product"))
    assert found
    names = {box.name for box in found.boxes.values()}
    assert {"testapp.product", "ProductRule", "detail:{pk}"} <= names
    text = page(client, "registry/", q="testapp.product")
    assert text.count("<path d=") >= len(found.lines) == 2 + 7 + 1
    starts = {(box.x + drawing.BOX, box.y + drawing.HEIGHT // 2) for box in found.boxes.values()}
    ends = {(box.x, box.y + drawing.HEIGHT // 2) for box in found.boxes.values()}
    for line in found.lines:
        numbers = list(map(int, re.findall(r"-?\d+", line)))
        assert tuple(numbers[:2]) in starts
        assert tuple(numbers[-2:]) in ends
    links = {box.link for box in found.boxes.values()}
    assert all(f'id="{link}"' in text for link in links)


def test_what_is_too_large_is_not_drawn(client, monkeypatch):
    monkeypatch.setattr(drawing, "MOST", 3)
    text = page(client, "registry/")
    assert "too much for a drawing" in text
    assert '<path d="M196' not in text


def test_during_an_outage_the_rules_are_there(client, down):
    text = page(client, "registry/")
    assert "ProductRule" in text


def test_the_way_to_invalidate_is_for_those_who_may(client, as_user):
    assert "?entities=testapp.product" in page(client, "registry/")
    assert "?entities=" not in page(as_user("view_metrics"), "registry/")


def test_the_pages_are_no_models_of_the_project():
    from django.apps import apps

    names = {model.__name__ for model in apps.get_models(include_auto_created=True)}
    assert names.isdisjoint({"Dashboard", "Registry", "Invalidate"})
    assert issubclass(Product, Model)


def test_pages_and_blocks_are_shown_like_functions(client):
    learned = {
        "page:shop.views.cart": ["testapp.product"],
        "block:shop/base.html:menu": ["testapp.category"],
        "elsewhere.price": ["testapp.product:*"],
    }
    get_store().count({}, learned=learned)
    text = page(client, "registry/")
    for title in ("Cached functions", "Cached pages and responses", "Cached blocks"):
        assert title in text
    for name in learned:
        assert f">{name}</a>" in text
        assert f"?names={quote(name)}" in text
    assert "this process has not loaded it" in text
    # The tag of the model leads to what reads it.
    assert f'<a href="#{anchor("page", "page:shop.views.cart")}"' in text


@pytest.mark.parametrize("query", ["shop.views.cart", "page:shop.views.cart"])
def test_a_search_finds_a_page_and_what_it_reads(client, query):
    get_store().count({}, learned={"page:shop.views.cart": ["testapp.product"]})
    text = page(client, "registry/", q=query)
    assert ">page:shop.views.cart</a>" in text
    assert "testapp.product" in text


def test_only_who_may_invalidate_is_led_there(client, as_user):
    get_store().count({}, learned={"page:shop.views.cart": ["testapp.product"]})
    assert "?names=page" in page(client, "registry/")
    assert "?names=" not in page(as_user("view_metrics"), "registry/")
