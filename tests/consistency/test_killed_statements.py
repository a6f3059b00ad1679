"""Writers that die around a statement in autocommit, and readers that declare no tags.

The steps are those at which the store is told something. Without a rule that looks at values, the
statement is executed, and committed, between fence and delivery. With one it gets a transaction of
its own: it is executed before the fence, and committed between fence and delivery.
"""

import os
import signal
import subprocess
import sys
import time
from typing import Any

import pytest
from django.db import connection

from tests.consistency.recorded import KINDS, Reader
from tests.stores.steps import PATIENCE
from tests.testapp.models import Product

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.slow]

FENCE_TIMEOUT = 1.0  # seconds

HOWS = ["QuerySet.update", "raw UPDATE by key", "a rule that looks at values"]
BEFORE_COMMIT = ["before the fence", "after the fence"]
AFTER_COMMIT = ["before the delivery", "after the delivery"]


@pytest.fixture(autouse=True)
def short_fences(settings: Any) -> None:
    settings.CACHE_INVALIDATION = {"FENCE_TIMEOUT": FENCE_TIMEOUT}


@pytest.fixture
def pk() -> int:
    return int(Product.objects.create(name="old").pk)


@pytest.fixture
def readers(pk: int) -> dict[str, Reader]:
    """Readers of the row, with all of which the value is cached."""
    readers = {kind: Reader(compute, "default", pk) for kind, compute in KINDS.items()}
    for kind, reader in readers.items():
        assert reader() == reader.truth(), kind
        assert reader.is_cached(), kind
    return readers


def kill_writer(pk: int, step: str, how: str, **environment: str) -> None:
    """Let a writer change the name and die at `step`."""
    database = connection.settings_dict["NAME"]
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "tests.consistency.victim_settings",
        "FENCE_TIMEOUT": str(FENCE_TIMEOUT),
        **environment,
    }
    command = [sys.executable, "-m", "tests.consistency.victim", database, str(pk), step, how]
    ended = subprocess.run(command, env=environment, timeout=PATIENCE, check=False)
    assert ended.returncode == -signal.SIGKILL, f"the writer was not killed {step}"


def check_all(readers: dict[str, Reader], expected: str) -> None:
    """Nobody reads anything but what the database has."""
    for kind, reader in readers.items():
        truth = reader.truth()
        assert expected in str(truth), kind
        assert reader() == truth, f"{kind} is stale"


def check_until_cached_again(readers: dict[str, Reader], expected: str) -> None:
    """The same as long as a fence may stand, and once everything is cached again."""
    deadline = time.monotonic() + PATIENCE
    while not all(reader.is_cached() for reader in readers.values()):
        assert time.monotonic() < deadline, "the tags stayed fenced"
        check_all(readers, expected)
        time.sleep(0.05)
    check_all(readers, expected)


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("step", AFTER_COMMIT)
def test_a_writer_killed_after_its_statement_leaves_nothing_stale(
    step: str, how: str, pk: int, readers: dict[str, Reader]
) -> None:
    kill_writer(pk, step, how)
    assert Product.objects.get(pk=pk).name == "new", "it was killed too early"
    assert not any(reader.is_cached() for reader in readers.values())
    check_all(readers, "new")
    check_until_cached_again(readers, "new")


@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("step", BEFORE_COMMIT)
def test_a_writer_killed_before_its_statement_is_committed_changes_nothing(
    step: str, how: str, pk: int, readers: dict[str, Reader]
) -> None:
    kill_writer(pk, step, how)
    assert Product.objects.get(pk=pk).name == "old", "it was killed too late"
    check_all(readers, "old")
    check_until_cached_again(readers, "old")
    Product.objects.filter(pk=pk).update(name="newer")
    check_all(readers, "newer")


@pytest.mark.parametrize("how", HOWS)
def test_without_the_fence_a_killed_statement_does_leave_something_stale(
    how: str, pk: int, readers: dict[str, Reader]
) -> None:
    """What "commit" consistency does not promise; so the tests above can fail."""
    kill_writer(pk, "before the delivery", how, CONSISTENCY="commit")
    assert Product.objects.get(pk=pk).name == "new"
    with pytest.raises(AssertionError, match="is stale"):
        check_all(readers, "new")
