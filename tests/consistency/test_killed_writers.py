"""Writers that die at a step of the protocol: nothing stale is served, and nothing is stuck."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
from django.db import connection

from cache_invalidation import ModelInvalidation, cached, registry
from cache_invalidation.stores import get_store
from tests.stores.steps import PATIENCE, wait_until
from tests.surfaces.asking import SURFACES, Asked
from tests.surfaces.by_hand import TRACKED, tracking
from tests.testapp.models import Category, Product

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

__all__ = ["tracking"]

FENCE_TIMEOUT = 1.5  # seconds

AFTER_COMMIT = ("between COMMIT and the first line after it", "in autocommit, after COMMIT")
BEFORE_COMMIT = ("before the fence", "between fence and COMMIT")


@cached(tags=["testapp.product:{pk}"], name="killed-writers")
def name_of(pk: int) -> str:
    return Product.objects.get(pk=pk).name


@pytest.fixture(autouse=True)
def rule(settings: Any) -> Iterator[None]:
    settings.CACHE_INVALIDATION = {"FENCE_TIMEOUT": FENCE_TIMEOUT}
    with registry.override(Product, ModelInvalidation):
        yield


@pytest.fixture
def product() -> Product:
    category = Category.objects.create(name="A")
    product = Product.objects.create(name="old", category=category)
    assert name_of(product.pk) == "old"
    assert is_cached(product.pk)
    return product


@pytest.fixture
def surfaces(tracking: None, product: Product) -> list[Asked]:
    """Pages and the like that show the name, all of them cached.

    The keys among them are tracked in this process only, not by the writer.
    """
    surfaces = [Asked(kind, name_of.uncached) for kind in [*SURFACES, *TRACKED]]
    for asked in surfaces:
        asked.fill(product.pk)
        assert asked(product.pk) == "old"
        assert asked.is_hit(product.pk)
    return surfaces


def is_cached(pk: int) -> bool:
    """Whether the next read would be a hit; without making it one."""
    tags = name_of._read((pk,), {}).tags
    found = get_store().lookup(get_store().entry_place(name_of.key(pk)), tags)
    return found.entry is not None and found.entry.is_valid(found.versions)


def kill_writer(product: Product, step: str) -> None:
    """Let a writer change the name and die at `step`."""
    database = connection.settings_dict["NAME"]
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.consistency.victim_settings",
        "FENCE_TIMEOUT": str(FENCE_TIMEOUT),
    }
    command = [sys.executable, "-m", "tests.consistency.victim", database, str(product.pk), step]
    ended = subprocess.run(command, env=environment, timeout=PATIENCE, check=False)
    assert ended.returncode == -signal.SIGKILL, f"the writer was not killed {step}"


def once_cached_again(pk: int) -> str:
    wait_until(lambda: name_of(pk) and is_cached(pk))
    return name_of(pk)


def check_once_cached_again(asked: Asked, pk: int, name: str) -> None:
    assert asked(pk) == name
    wait_until(lambda: asked.is_hit(pk))
    assert asked(pk) == name


@pytest.mark.parametrize("step", AFTER_COMMIT)
def test_a_writer_killed_after_commit_leaves_nothing_stale(
    product: Product, surfaces: list[Asked], step: str
) -> None:
    kill_writer(product, step)
    assert Product.objects.get(pk=product.pk).name == "new", "it was killed too early"
    assert not is_cached(product.pk)
    assert name_of(product.pk) == "new"
    assert [asked(product.pk) for asked in surfaces] == ["new"] * len(surfaces)
    assert once_cached_again(product.pk) == "new"
    for asked in surfaces:
        check_once_cached_again(asked, product.pk, "new")


@pytest.mark.parametrize("step", BEFORE_COMMIT)
def test_a_writer_killed_before_commit_changes_nothing(
    product: Product, surfaces: list[Asked], step: str
) -> None:
    kill_writer(product, step)
    assert name_of(product.pk) == "old"
    assert once_cached_again(product.pk) == "old"
    for asked in surfaces:
        check_once_cached_again(asked, product.pk, "old")


def test_without_the_fence_a_killed_writer_does_leave_something_stale(
    product: Product, surfaces: list[Asked]
) -> None:
    """What "commit" consistency does not promise; so the tests above can fail."""
    os.environ["CONSISTENCY"] = "commit"
    try:
        kill_writer(product, "between COMMIT and the first line after it")
    finally:
        del os.environ["CONSISTENCY"]
    assert Product.objects.get(pk=product.pk).name == "new"
    assert name_of(product.pk) == "old"
    assert [asked(product.pk) for asked in surfaces] == ["old"] * len(surfaces)
