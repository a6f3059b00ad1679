"""The page of one function, page or block, and that of a tag."""

import json
import re
from html import unescape
from urllib.parse import quote

import pytest

from cache_invalidation import cached
from cache_invalidation.metrics.counters import counters
from cache_invalidation.models import AuditEntry
from cache_invalidation.stores import get_store
from tests.admin.conftest import APP, page, send
from tests.testapp.matrix import Shelf

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])

NAME = "about.shelves"


@cached(name=NAME, sample=1e-9)
def shelves(number: int) -> list[int]:
    return list(Shelf.objects.values_list("pk", flat=True)) + answers[number:]


@cached(name="about.declared", tags=["about:{number}"])
def declared(number: int) -> int:
    return number


answers = [1]


def text_of(client, path="name/", **query):
    found = page(client, f"registry/{path}", **query)
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", found)).split())


def recent(*tags, cause="update", **targets):
    entry = {
        **{"when": "2030-01-01T12:00:00+00:00", "entity_type": "shelf", "cause": cause},
        **{"targets": {"tags": list(tags), "keys": [], "patterns": [], **targets}, "sizes": {}},
        **{"using": "default", "path": None, "latency": 0.001},
    }
    get_store().count({}, [json.dumps(entry)])


def test_it_shows_all_that_was_measured(client):
    counters.update({f"hits:{NAME}": 60, f"misses:{NAME}": 20, "misses": 20, "hits": 60})
    counters.update({f"missed:{NAME}:invalidated": 15, f"missed:{NAME}:new": 5})
    counters.update({f"unstored:{NAME}:exception": 3})
    counters.detail({("took", NAME, "0.05"): 20, ("microseconds", NAME): 10**6})
    counters.detail({("compared", NAME): 20, ("equal", NAME): 16, ("fills", NAME): 20})
    counters.detail({("bytes", NAME): 40_000, ("sampled", NAME): 10, ("first_hits", NAME): 4})
    counters.detail(
        {("dropped", NAME, "testapp.shelf"): 15, ("equal_after", NAME, "testapp.shelf"): 9}
    )
    counters.detail({("write", "testapp.shelf", "shelf", "update", "shelves/<int:pk>/"): 12})
    counters.detail({("write", "testapp.other", "other", "delete", ""): 99})
    text = text_of(client, name=NAME)
    assert "Hit rate 75 % 60 hits, 20 misses, 0 bypasses in the last hour" in text
    assert "Computing saved 3 s" in text
    assert "Computing spent 1 s 20 computed: half within 50 ms, 95 % within 50 ms" in text
    assert "Size of a value 2,000 bytes" in text
    assert "Stored in vain 60 %" in text
    assert "Dropped for nothing 80 % 16 of 20 refills" in text
    assert "Not stored 3 reason: exception" in text
    assert "Invalidated 15 75 % A write dropped it." in text
    assert "testapp.shelf 15 9 update shelf in shelves/<int:pk>/ 12 times" in text
    assert "99" not in text.partition("Who drops it")[2].partition("Last invalidations")[0]
    (chart,) = re.findall(
        r'id="ci-missed" type="application/json">(.*?)</script>',
        page(client, "registry/name/", name=NAME),
    )
    series = {each["label"]: sum(each["values"]) for each in json.loads(chart)["series"]}
    assert series == {"New": 5, "Invalidated": 15}


def test_it_depends_on_what_any_process_has_found_out(client):
    get_store().count({}, learned={NAME: ["testapp.shelf", "testapp.shop:*"]})
    text = page(client, "registry/name/", name=NAME)
    for tag in ("testapp.shelf", "testapp.shop:*"):
        assert f'href="{APP}registry/tag/?tag={quote(tag, safe="")}"' in text
    assert "declared" in text_of(client, name="about.declared")
    assert "about:{number}" in text_of(client, name="about.declared")


def test_the_last_invalidations_are_those_that_hit_it(client):
    for number in range(12):
        recent(f"about:{number}", "elsewhere", cause="mine")
    recent("elsewhere", cause="foreign")
    recent("about.declared()", cause="by name")
    recent("*", cause="everything")
    text = text_of(client, name="about.declared").partition("Last invalidations")[2]
    assert text.count(" mine ") == 8
    assert "by name" in text
    assert "everything" in text
    assert "foreign" not in text


@pytest.mark.parametrize("name", ["page:shop.views.cart", "block:shop/base.html:menu"])
def test_pages_and_blocks_have_a_page_too(client, name):
    get_store().count({f"hits:{name}": 3, "hits": 3}, learned={name: ["testapp.shelf"]})
    text = text_of(client, name=name)
    assert "Hit rate 100 %" in text
    assert "found out testapp.shelf" in text


def test_what_nobody_knows_has_no_page(client):
    page(client, "registry/name/", name="no.such", status=404)
    page(client, "registry/name/", status=404)


def test_during_an_outage_there_is_what_is_declared(client, down):
    text = text_of(client, name="about.declared")
    assert "about:{number}" in text
    assert "no counters to show" in text
    assert "no counters to show" in text_of(client, "tag/", tag="about:3")


def test_a_check_says_what_it_has_found(client):
    shelves(0)
    shelves(1)
    said = send(client, "registry/check/", name=NAME)
    assert "2 entries were compared with what is computed now: none is stale." in said
    answers.append(2)
    try:
        said = send(client, "registry/check/", name=NAME)
    finally:
        answers.pop()
    assert "2 of 2 entries were stale, and were dropped." in said
    assert "There was no entry that could be compared." in send(
        client, "registry/check/", name=NAME
    )
    assert not AuditEntry.objects.exists()


def test_a_check_during_an_outage_says_so(client, down):
    assert "It could not be checked" in send(client, "registry/check/", name=NAME)


def test_only_what_can_be_checked_has_the_button(client, as_user):
    button = "Check now</button>"
    assert button in page(client, "registry/name/", name=NAME)
    assert button not in page(client, "registry/name/", name="about.declared")
    assert "@cached(sample=0.001)" in page(client, "registry/name/", name="about.declared")
    assert client.post(f"{APP}registry/check/", {"name": "about.declared"}).status_code == 404
    assert client.get(f"{APP}registry/check/").status_code == 405
    viewer = as_user("view_metrics")
    assert button not in page(viewer, "registry/name/", name=NAME)
    assert viewer.post(f"{APP}registry/check/", {"name": NAME}).status_code == 403


def test_a_tag_leads_to_those_who_read_and_write_it(client):
    get_store().count({}, learned={NAME: ["testapp.shelf"]})
    counters.detail({("write", "testapp.shelf:{}", "shelf", "update", "shelves/"): 12})
    text = page(client, "registry/tag/", tag="testapp.shelf")
    assert f'href="{APP}registry/name/?name={NAME}"' in text
    assert "?q=testapp.shelf#model-testapp-shelf" in text
    assert f"{APP}invalidate/?tags=testapp.shelf" in text
    text = text_of(client, "tag/", tag="testapp.shelf:3")
    assert "No known function, page or block depends on this." in text
    assert "testapp.shelf:{} update shelf shelves/ 12" in text


def test_no_tag_has_no_page(client):
    page(client, "registry/tag/", status=404)


@pytest.mark.parametrize("tag", ["about:{number}", "about:{}"])
def test_a_kind_of_tags_cannot_be_invalidated(client, tag):
    text = page(client, "registry/tag/", tag=tag)
    assert ">about.declared</a>" in text
    assert f"{APP}invalidate/?tags" not in text
