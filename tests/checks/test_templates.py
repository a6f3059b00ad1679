"""The system check of blocks that Django caches."""

from pathlib import Path
from typing import Any

import pytest
from django.core.checks import Info
from django.test import override_settings

from cache_invalidation.checks.templates import check_blocks_of_django
from tests.checks.reporting import ids, only, reported, reported_in_production
from tests.checks.test_tracking import OURS as TRACKING
from tests.checks.test_tracking import with_cache

pytestmark = pytest.mark.django_db(databases="__all__")

BACKEND = "django.template.backends.django.DjangoTemplates"
OURS = "cache_invalidation.templatetags.cache"


def templates(*folders: Path, **options: Any) -> override_settings:
    engine = {"BACKEND": BACKEND, "DIRS": folders, "APP_DIRS": False, "OPTIONS": options}
    return override_settings(TEMPLATES=[engine])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop" / "page.html").write_text(
        "{% load cache %}{% cache 60 menu %}…{% endcache %}"
    )
    (tmp_path / "other.txt").write_text("cache")
    (tmp_path / "picture.png").write_bytes(bytes(range(256)))
    return tmp_path


def infos() -> list[Any]:
    return [message for message in reported_in_production() if str(message.id).endswith("I002")]


def test_i002_names_the_templates_with_blocks_that_stay(folder: Path):
    with templates(folder):
        found = only(infos(), Info, "I002")
        assert "shop/page.html" in found.msg
        assert "other.txt" not in found.msg
        assert OURS in str(found.hint)
        assert "I002" not in ids(reported())  # Only before a deployment.


def test_it_says_nothing_of_blocks_that_are_ours(folder: Path):
    with templates(folder, libraries={"cache": OURS}):
        assert infos() == []


def test_nor_of_folders_that_are_not_there(tmp_path: Path):
    with templates(tmp_path / "none"):
        assert infos() == []


def test_of_many_it_names_a_few(folder: Path):
    for number in range(9):
        name = folder / "shop" / f"{number}.html"
        name.write_text((folder / "shop" / "page.html").read_text())
    with templates(folder):
        assert "and others" in only(infos(), Info, "I002").msg


@override_settings(TEMPLATES=[{"BACKEND": "no.such.backend"}])
def test_templates_that_cannot_be_used_are_for_django_to_report():
    assert check_blocks_of_django() == []


def test_nor_where_the_keys_of_these_blocks_are_tracked(folder: Path):
    with templates(folder), with_cache(TRACKING, TRACK=["template.cache.*"]):
        assert infos() == []
    with templates(folder), with_cache(TRACKING, TRACK=["product:*"]):
        only(infos(), Info, "I002")
