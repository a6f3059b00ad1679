"""Who is told: on a terminal, over REST, in the admin; and by what was counted since."""

import json
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import include, path

from cache_invalidation import cached, invalidate
from cache_invalidation.admin.advice import AdviceAdmin
from cache_invalidation.admin.pages import Advice
from cache_invalidation.management.commands.advise_cache import _finding
from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from tests.advice.conftest import Site
from tests.outages import down, use

__all__ = ["down", "use"]  # Fixtures.

pytestmark = pytest.mark.django_db(transaction=True, databases="__all__")


@pytest.fixture
def needless(site: Site) -> Any:
    """Have something dropped for nothing sixty times, each time that this is called."""

    @cached(tags=["front"], name="telling.front")
    def front() -> str:
        site.takes(0.1)
        return "<front>"

    def work() -> None:
        for _ in range(60):
            front()
            front()
            invalidate(tags=["front"])

    reset_metrics()
    work()
    return work


def test_seconds_have_a_unit_and_one_write_is_once():
    finding: Any = {
        **{"name": "menu", "summary": "", "readers": [], "patch": "", "seconds": 1.0},
        **{"hit_rate": 0.5, "expected_hit_rate": 0.5},
        "evidence": {"hits": 1234.0, "round_trip": 2.1471e-05},
        "writes": [
            {"deliveries": n, "cause": "save", "entity_type": "shop.product", "route": ""}
            for n in (1, 2)
        ],
    }
    text = "\n".join(_finding(1, finding, None))
    assert "by hits 1,234, round_trip 21 µs\n" in text
    assert "   once save of shop.product\n   2 times save of shop.product\n" in text


urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/system/", include("cache_invalidation.api.urls")),
]


@pytest.fixture
def client(settings: Any) -> Client:
    settings.ROOT_URLCONF = __name__
    client = Client()
    client.force_login(User.objects.create_superuser("operator"))
    return client


def advise(*arguments: str) -> str:
    output = StringIO()
    call_command("advise_cache", *arguments, stdout=output)
    return output.getvalue()


def test_on_a_terminal(needless: Any):
    text = advise()
    assert text.startswith("By 120 reads in ")
    assert "1. front: It is invalidated by hand, although nothing has changed." in text
    assert "hit rate 50.0%, to expect 99.2%; saves 5.9 s" in text
    assert "   for telling.front" in text
    assert "60 times manual of manual" in text
    assert '          invalidate(tags=["front"])' in text


def test_that_nothing_is_to_be_changed_is_said(site: Site):
    reset_metrics()
    lines = advise().splitlines()
    assert lines[0].startswith("By 0 reads")
    assert lines[1:] == ["  nothing was counted yet"]


def test_all_tell_the_same(needless: Any, client: Client):
    on_terminal = json.loads(advise("--format", "json"))
    over_rest = client.get("/api/system/cache/advice").json()
    for found in (on_terminal, over_rest):
        found.pop("period")
    assert on_terminal == over_rest
    (finding,) = over_rest["findings"]
    page = client.get("/admin/cache_invalidation/advice/").content.decode()
    assert finding["summary"] in page
    assert "invalidate(tags=[&quot;front&quot;])" in page
    assert "Hit rate 50 %, to expect 99.2 %; 5.9 s would have been saved." in page


def test_the_page_leads_to_what_it_names(needless: Any, client: Client):
    registry = "/admin/cache_invalidation/registry/"
    page = client.get("/admin/cache_invalidation/advice/").content.decode()
    assert f'<a href="{registry}tag/?tag=front">front</a></h2>' in page
    assert f'<a href="{registry}name/?name=telling.front">telling.front</a>' in page


@pytest.mark.parametrize(
    ("kind", "name", "readers", "url"),
    [
        ("timeout", "shop.menu", ["shop.menu"], "registry/name/?name=shop.menu"),
        ("exclude", "shop.visit", [], "registry/?q=shop.visit"),
        ("families", "shop.rules.Menu", ["shop.menu"], "registry/?q=shop.rules.Menu"),
        ("memory", "maxmemory", ["shop.menu"], ""),
    ],
)
@pytest.mark.usefixtures("client")
def test_the_name_of_a_finding_leads_to_where_it_is_known(
    kind: str, name: str, readers: list[str], url: str
):
    finding: Any = {"kind": kind, "name": name, "readers": readers}
    found = AdviceAdmin(Advice, admin.site)._url(finding)
    assert found == (url and f"/admin/cache_invalidation/{url}")


def test_a_reason_for_which_nothing_was_left_out_since_is_none(tmp_path: Path):
    counters.update({"unstored:telling.menu:blind": 1})
    counters.flush()
    before = tmp_path / "before.json"
    before.write_text(json.dumps(read_metrics()))

    @cached(tags=["front"], name="telling.menu")
    def menu() -> str:
        return "<menu>"

    menu()
    counters.flush()
    assert "blind" not in advise("--since", str(before))


def test_only_what_was_counted_since(needless: Any, tmp_path: Path):
    before = tmp_path / "before.json"
    with before.open("w") as output:
        call_command("cache_metrics", format="json", stdout=output)
    assert advise("--since", str(before)) == "By 0 reads\n  nothing was counted yet\n"
    needless()
    found = json.loads(advise("--since", str(before), "--format", "json"))
    assert (found["reads"], found["period"]) == (120, None)
    (finding,) = found["findings"]
    assert finding["evidence"] == {"invalidated": 60, "equal_refills": 60, "deliveries": 60}
    assert finding["hit_rate"] == 0.5


def test_a_reading_from_before_a_reset_is_of_no_use(needless: Any, tmp_path: Path):
    before = tmp_path / "before.json"
    with before.open("w") as output:
        call_command("cache_metrics", format="json", stdout=output)
    reset_metrics()
    needless()
    with pytest.raises(CommandError, match="the counters were reset since it was written"):
        advise("--since", str(before))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("not json", "is not JSON"),
        ("[]", "is not what cache_metrics prints"),
        ("{}", "is not what cache_metrics prints"),
        ('{"since": null, "dropped": [1]}', "is not what cache_metrics prints"),
        ('{"since": null, "dropped": [], "hits": "x"}', "is not what cache_metrics prints"),
        ('{"since": null, "dropped": [], "figures": 1}', "is not what cache_metrics prints"),
        (None, "there is no such file"),
    ],
)
def test_another_file_is_refused(needless: Any, tmp_path: Path, text: str | None, message: str):
    before = tmp_path / "before.json"
    if text is not None:
        before.write_text(text)
    with pytest.raises(CommandError, match=message):
        advise("--since", str(before))


@pytest.mark.parametrize("time", ["2h", "2026-11-30"])
def test_a_time_is_refused_and_it_is_said_what_to_give(time: str):
    with pytest.raises(CommandError, match=r"cache_metrics --format json has .* and no time"):
        advise("--since", time)


def test_while_the_cache_does_not_answer(client: Client, down: Any):
    with pytest.raises(CommandError, match="The cache does not answer"):
        advise()
    assert client.get("/api/system/cache/advice").status_code == 503
    page = client.get("/admin/cache_invalidation/advice/").content.decode()
    assert "The cache does not answer" in page
