"""The management command that warms the cache."""

import json
import os
import signal
from io import StringIO
from typing import Any
from unittest import mock

import pytest
from django.core.management import CommandError, call_command

from cache_invalidation.management.commands.warm_cache import _bar
from cache_invalidation.operations.warming import Progress
from cache_invalidation.stores import get_store
from tests.operations.test_warming import Computed, every_hit_is_noted, hit
from tests.outages import Use, down, up, use

__all__ = ["down", "every_hit_is_noted", "up", "use"]

DATABASES = ["default", "other", "sqlite"]

pytestmark = pytest.mark.django_db(transaction=True, databases=DATABASES)


def warm(*arguments: str, **options: Any) -> tuple[str, str]:
    output, errors = StringIO(), StringIO()
    call_command("warm_cache", *arguments, stdout=output, stderr=errors, **options)
    return output.getvalue(), errors.getvalue()


def test_it_says_what_became_of_the_calls():
    page = Computed()  # Else nobody would know the function any more.
    hit(page.function, 1)
    get_store().drop_everything()
    text = "1 calls: 1 stored, 0 there, 0 taken, 0 refused, 0 elsewhere, 0 failed, 0 left.\n"
    assert warm() == (text, "")
    found = json.loads(warm("--format", "json")[0])
    assert found == {
        "stored": 0,
        "there": 1,
        "taken": 0,
        "refused": 0,
        "elsewhere": 0,
        "failed": 0,
        "left": 0,
    }


def test_it_says_so_if_nothing_is_known():
    assert "No calls are known" in warm()[0]


def test_it_fails_while_the_cache_is_down(down: Use):
    with pytest.raises(CommandError, match="does not answer"):
        warm()


@pytest.mark.parametrize(
    "arguments",
    [["--share", "0"], ["--share", "1.5"], ["--seconds", "0"], ["--limit", "0"]],
)
def test_bad_numbers_are_refused(arguments):
    with pytest.raises(CommandError, match="number"):
        warm(*arguments)


def test_a_loop_ends_with_sigterm_and_has_warmed():
    page = Computed()
    hit(page.function, 1)
    get_store().drop_everything()
    before = {each: signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGINT)}
    compute = page.compute

    def last(*args: Any) -> int:
        os.kill(os.getpid(), signal.SIGTERM)
        return compute(*args)

    try:
        with mock.patch.object(page.function, "uncached", last):
            output, _ = warm("--loop")
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    assert "1 stored" in output


def test_a_terminal_has_a_bar():
    errors, page = StringIO(), Computed()
    hit(page.function, 1)
    with mock.patch.object(errors, "isatty", return_value=True):
        call_command("warm_cache", stdout=StringIO(), stderr=errors)
    assert "] 1 of 1" in errors.getvalue()
    progress = Progress(4)
    progress.outcomes.update({"there": 1})
    assert _bar(progress) == "[########......................] 1 of 4"
