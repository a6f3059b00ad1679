"""The pages are at home in any admin site."""

import re

import pytest
from django.contrib.admin import checks

from cache_invalidation import cached
from tests.admin.conftest import last_entry, page
from tests.admin.urls import own_site

pytestmark = pytest.mark.django_db(databases=["default", "other", "sqlite"])

PAGES = [
    *["dashboard/", "dashboard/reset/", "advice/", "registry/", "invalidate/"],
    *["registry/tag/?tag=a", "registry/name/?name=sites.read"],
]
LISTS = ["pendinginvalidation/", "auditentry/"]


@cached(name="sites.read", tags=["a"])
def read() -> int:
    return 1


@pytest.mark.parametrize("path", PAGES + LISTS)
def test_links_stay_within_the_site(as_user, path):
    client = as_user(is_superuser=True)
    response = client.get(f"/own/cache_invalidation/{path}")
    assert response.status_code == 200
    text = response.content.decode()
    assert re.findall(r'(?:href|action)="/own/cache_invalidation/[^"]+"', text)
    assert not re.findall(r'(?:href|action)="/admin/', text)


def test_so_do_those_of_rows(as_user, waiting):
    client = as_user(is_superuser=True)
    client.post("/own/cache_invalidation/invalidate/", {"tags": "a", "confirm": "1"})
    for path in (f"pendinginvalidation/{waiting('a').pk}", f"auditentry/{last_entry().pk}"):
        text = client.get(f"/own/cache_invalidation/{path}/change/").content.decode()
        assert 'href="/own/cache_invalidation/registry/tag/?tag=a"' in text
        assert not re.findall(r'(?:href|action)="/admin/', text)


def test_forms_lead_back_to_the_site(as_user):
    client = as_user(is_superuser=True)
    reset = client.post("/own/cache_invalidation/dashboard/reset/")
    assert reset["Location"] == "/own/cache_invalidation/dashboard/"
    done = client.post("/own/cache_invalidation/invalidate/", {"tags": "a", "confirm": "1"})
    assert re.fullmatch(r"/own/cache_invalidation/invalidate/\d+/", done["Location"])


def test_the_pages_pass_the_checks_of_the_admin():
    assert own_site.check(None) == []
    for model_admin in own_site._registry.values():
        assert model_admin.check() == []
    assert checks.check_admin_app(None) == []


def test_there_are_no_scripts_or_styles_in_the_pages(client, waiting):
    waiting("a")
    for path in PAGES + LISTS:
        text = page(client, path)
        scripts = re.findall(r"<script(?![^>]*(?:src=|application/json))", text)
        assert scripts == []
        assert "<style" not in text
        assert not re.findall(r"\s(?:style|on\w+)=", text)
