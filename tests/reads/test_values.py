"""Text that is marked safe comes back as such from every cache, or is not kept there."""

from collections import OrderedDict
from typing import Any, NamedTuple

import pytest
from django.template import Context, Template
from django.utils.functional import Promise, lazy
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe

from cache_invalidation import cached
from cache_invalidation.reads.values import MARK, decode, encode
from cache_invalidation.stores import get_store

SAFE, OTHER = mark_safe("<b>bold</b>"), mark_safe("<i>italic</i>")
LAZY = lazy(format_html, str)("<b>{}</b>", "bold")


class Markup(str):
    """As of markupsafe: not the one of Django."""

    def __html__(self) -> str:
        return self


class Pair(NamedTuple):
    one: Any
    other: Any


@pytest.fixture(params=["default", "zlib", "locmem", "dbcache"])
def alias(request: pytest.FixtureRequest, settings: Any) -> str:
    settings.CACHE_INVALIDATION = {"CACHE": request.param}
    return str(request.param)


@pytest.fixture
def as_json(settings: Any) -> None:
    settings.CACHE_INVALIDATION = {"CACHE": "zlib"}


def kinds(value: Any) -> Any:
    """Return which texts of a value are safe, whatever holds them."""
    if isinstance(value, dict):
        return [(str(key), kinds(item)) for key, item in value.items()]
    if isinstance(value, list | tuple):
        return [kinds(item) for item in value]
    value = str(value) if isinstance(value, Promise) else value
    return (str(value), True) if hasattr(value, "__html__") else (value, False)


VALUES: list[Any] = [
    SAFE,
    mark_safe(""),
    "<b>bold</b>",
    [SAFE, "plain", OTHER],
    {"html": SAFE, "text": "<b>bold</b>", "rows": [[1, OTHER], [2, "plain"]]},
    ("plain", (SAFE, {"a": OTHER})),
    Pair("plain", SAFE),
    OrderedDict(b=SAFE, a="plain"),
    {1: "plain", 2: SAFE},
    {"a": {"b": {"c": {}}}, "d": [], "e": None},
    LAZY,
    ["plain", LAZY],
]


@pytest.mark.django_db
@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_safe_text_is_safe_in_a_hit(value, alias):
    calls = []

    @cached(tags=["a"], sample=1)
    def page() -> Any:
        calls.append(1)
        return value

    assert kinds(page()) == kinds(value)
    assert len(calls) == 1
    assert kinds(page()) == kinds(value)
    assert kinds(page.uncached()) == kinds(value)


@pytest.mark.usefixtures("as_json")
def test_a_template_shows_a_hit_like_a_miss():
    @cached(tags=["a"])
    def page() -> Any:
        return {"html": SAFE, "text": "<b>"}

    template = Template("{{ page.html }}{{ page.text }}")
    shown = [template.render(Context({"page": page()})) for _ in range(2)]
    assert shown == ["<b>bold</b>&lt;b&gt;"] * 2


@pytest.mark.usefixtures("as_json")
def test_a_hit_that_is_checked_is_the_same_as_what_is_computed():
    @cached(tags=["a"], sample=1)
    def inner() -> Any:
        return SAFE

    @cached(tags=["a"], sample=1)
    def outer() -> Any:
        return [inner(), inner(), "<b>"]

    found = [kinds(outer()) for _ in range(3)]
    assert found == [[(SAFE, True), (SAFE, True), ("<b>", False)]] * 3


@pytest.mark.parametrize(
    "value",
    [
        Markup("<b>"),
        ["plain", Markup("<b>")],
        {SAFE: 1},
        {Markup("<b>"): 1},
        {1: "collapses", "1": SAFE, "a": SAFE},
    ],
    ids=repr,
)
@pytest.mark.usefixtures("as_json")
def test_markup_that_would_come_back_as_text_is_not_kept(value, caplog):
    calls = []

    @cached(tags=["a"])
    def page() -> Any:
        calls.append(1)
        return value

    assert page() is value
    assert page() is value
    assert len(calls) == 2
    assert "page() returned a value that cannot be stored" in caplog.text


def test_a_serializer_that_changes_places_marks_nothing_else(monkeypatch):
    store = get_store()
    monkeypatch.setitem(vars(store), "keeps_safe_text", False)
    monkeypatch.setattr(store, "decode", lambda payload: ["<script>", "<b>bold</b>"])
    with pytest.raises(TypeError, match="changes the places"):
        encode([SAFE, "<script>"], store)


@pytest.mark.parametrize("payload", [MARK, MARK + b"\x00\x00\x00\x00", MARK + b"more"])
def test_a_payload_that_looks_like_one_of_ours_comes_back_as_it_was(payload, monkeypatch):
    store = get_store()
    monkeypatch.setattr(store, "encode", lambda value: value)
    monkeypatch.setattr(store, "decode", lambda encoded: encoded)
    assert decode(encode(payload, store), store) == payload


@pytest.mark.parametrize(
    "damaged",
    [
        MARK + b"\x00\x00\x00\x04true" + b'["a"]',
        MARK + b"\x00\x00\x00\x0a[[5, true]]"[:14] + b'["a"]',
        MARK + b"\x00\x00\x00\x02[[" + b'["a"]',
        MARK,
    ],
)
@pytest.mark.usefixtures("as_json")
def test_a_damaged_payload_is_unreadable(damaged):
    store = get_store()
    with pytest.raises(ValueError, match=r"unreadable|Expecting"):
        decode(damaged, store)


def test_a_cache_that_keeps_types_gets_nothing_more_to_keep():
    store = get_store()
    assert store.keeps_safe_text
    assert encode(SAFE, store) == store.encode(SAFE)
    assert type(decode(encode(SAFE, store), store)) is SafeString
