"""The management command that drains the outbox."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, connections

from cache_invalidation.delivery.outbox import draining
from cache_invalidation.management.commands import drain_invalidations as command
from cache_invalidation.models import PendingInvalidation
from example_project.servers import ValkeyServer
from tests.delivered import delivered
from tests.delivery.outbox.rows import let_wait
from tests.outages import NOBODY, Use, down, up, use
from tests.stores.steps import PATIENCE, wait_until

__all__ = ["down", "up", "use"]

ROOT = Path(__file__).resolve().parents[2]
DATABASES = ["default", "other", "sqlite"]

pytestmark = pytest.mark.django_db(transaction=True, databases=DATABASES)

Shell = Callable[..., "subprocess.Popen[str]"]


def waiting() -> list[int]:
    return [PendingInvalidation.objects.using(using).count() for using in DATABASES]


def drain(*arguments: str, **options: Any) -> tuple[str, str]:
    """Run the command; return what it has written to either output."""
    output, errors = StringIO(), StringIO()
    call_command("drain_invalidations", *arguments, stdout=output, stderr=errors, **options)
    return output.getvalue(), errors.getvalue()


def test_it_delivers_what_waits_on_every_database_and_says_so(up: Use) -> None:
    up()
    for using in DATABASES:
        let_wait(2, using)
    with delivered() as found:
        assert drain() == ("Delivered 6 invalidations; 0 wait.\n", "")
    assert found.tags == {f"{using}:{n}" for using in DATABASES for n in range(2)}
    assert waiting() == [0, 0, 0]
    assert drain() == ("Delivered 0 invalidations; 0 wait.\n", "")


def test_it_answers_in_json(up: Use) -> None:
    up()
    let_wait(3)
    output, errors = drain("--format", "json")
    assert (json.loads(output), errors) == ({"delivered": 3, "pending": 0}, "")


def test_it_tries_at_once_what_is_to_be_tried_later(up: Use) -> None:
    up()
    let_wait(1, attempts=3, next_attempt="2100-01-01T00:00Z")
    let_wait(1, next_attempt="2100-01-01T00:00Z")
    assert drain()[0] == "Delivered 1 invalidations; 1 wait.\n"


def test_it_drains_the_databases_that_are_named(up: Use) -> None:
    up()
    for using in DATABASES:
        let_wait(1, using)
    drain("--database", "other")
    assert waiting() == [1, 0, 1]
    drain("--database", "default", "--database", "sqlite")
    assert waiting() == [0, 0, 0]


def test_it_shows_its_progress(up: Use, monkeypatch: pytest.MonkeyPatch) -> None:
    up()
    let_wait(25)
    monkeypatch.setattr(command, "PROGRESS", 10)
    monkeypatch.setattr(draining, "BATCH", 5)
    output, errors = drain()
    assert errors.splitlines() == ["10 delivered, 15 wait …", "20 delivered, 5 wait …"]
    assert output == "Delivered 25 invalidations; 0 wait.\n"
    let_wait(25)
    assert drain("--verbosity", "0")[1] == ""


def test_a_store_that_is_down_is_a_command_error_that_says_what_waits(down: Use) -> None:
    let_wait(3)
    with pytest.raises(CommandError, match=r"nobody-listens-here.* 3 invalidations wait\."):
        drain()
    assert waiting() == [3, 0, 0]


def test_a_database_that_does_not_answer_is_an_error_after_the_others_are_drained(
    up: Use, monkeypatch: pytest.MonkeyPatch
) -> None:
    up()
    let_wait(1)
    let_wait(1, "sqlite")
    connections["other"].close()
    monkeypatch.setitem(connections["other"].settings_dict, "NAME", "no such database")
    with pytest.raises(CommandError, match="no such database"):
        drain()
    with pytest.raises(CommandError, match=r"no such database.*[^.]\. 0 invalidations wait\."):
        drain("--database", "other")
    monkeypatch.undo()
    assert waiting() == [0, 0, 0]


@pytest.mark.parametrize(
    "arguments",
    [
        ["--database", "unknown"],
        ["--format", "xml"],
        ["--interval", "soon"],
        ["--loop", "--interval", "0"],
        ["--loop", "--interval", "-1"],
    ],
)
def test_arguments_that_mean_nothing_are_refused(arguments: list[str]) -> None:
    with pytest.raises(CommandError):
        drain(*arguments)


class NotInOther:
    def allow_migrate(self, db: str, app_label: str, **hints: Any) -> bool | None:
        return False if (db, app_label) == ("other", "cache_invalidation") else None


def test_a_database_without_the_table_is_refused_if_it_is_named(up: Use, settings: Any) -> None:
    up()
    settings.DATABASE_ROUTERS = [f"{__name__}.NotInOther"]
    with pytest.raises(CommandError, match="There is no outbox on 'other'"):
        drain("--database", "other")
    drain()


@pytest.fixture
def shell(redis_url: str) -> Iterator[Shell]:
    """Start the command as an operator does, on the databases of this test."""
    names = {alias: str(connections[alias].settings_dict["NAME"]) for alias in DATABASES}
    code = (
        "import sys, django; django.setup(); from django.db import connections\n"
        f"for alias, name in {names!r}.items(): connections.settings[alias]['NAME'] = name\n"
        "from django.core.management import execute_from_command_line as run\n"
        "run(['manage.py', 'drain_invalidations', '--skip-checks', *sys.argv[1:]])"
    )
    started = []

    def shell(*arguments: str, url: str = redis_url) -> "subprocess.Popen[str]":
        environment = os.environ | {
            "REDIS_URL": url,
            "DJANGO_SETTINGS_MODULE": "tests.consistency.victim_settings",
        }
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield shell
    for process in started:
        process.kill()
        process.communicate()


def test_in_a_shell_it_exits_with_zero(shell: Shell) -> None:
    let_wait(2)
    process = shell("--format", "json")
    output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, errors) == (0, "")
    assert json.loads(output) == {"delivered": 2, "pending": 0}


def test_in_a_shell_a_store_that_is_down_is_one_clear_line_and_exit_status_one(
    shell: Shell,
) -> None:
    let_wait(2)
    process = shell(url=NOBODY)
    output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output) == (1, "")
    assert "CommandError: " in errors
    assert "2 invalidations wait." in errors
    assert "Traceback" not in errors
    assert waiting()[0] == 2


@pytest.mark.parametrize("signal_", [signal.SIGTERM, signal.SIGINT])
def test_a_loop_goes_on_until_it_is_told_to_end(shell: Shell, signal_: signal.Signals) -> None:
    process = shell("--loop", "--interval", "0.05", "--format", "json")
    assert process.stdout is not None
    for number in (1, 2):
        let_wait(number)
        assert json.loads(process.stdout.readline()) == {"delivered": number, "pending": 0}
    process.send_signal(signal_)
    output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output, errors) == (0, "", "")


def test_a_loop_survives_an_outage_and_says_so_once(shell: Shell, valkey: ValkeyServer) -> None:
    process = shell("--loop", "--interval", "0.02", "-v", "0", url=valkey.url)
    let_wait(1)
    wait_until(lambda: waiting()[0] == 0)
    valkey.kill()
    let_wait(3)
    wait_until(lambda: PendingInvalidation.objects.filter(attempts__gte=2).count() >= 1)
    valkey.start()
    wait_until(lambda: waiting()[0] == 0)
    process.terminate()
    output, errors = process.communicate(timeout=PATIENCE)
    assert (process.returncode, output) == (0, "")
    assert errors.count("Trying again.") == 1


def test_a_loop_survives_the_loss_of_its_connections(shell: Shell) -> None:
    process = shell("--loop", "--interval", "0.02", "-v", "0")
    let_wait(1)
    wait_until(lambda: waiting()[0] == 0)
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity "
            "WHERE pid <> pg_backend_pid() AND datname = current_database() "
            "AND backend_type = 'client backend'"  # Not who vacuums.
        )
        assert cursor.fetchone()[0] == 1
    let_wait(1)
    wait_until(lambda: waiting()[0] == 0)
    process.terminate()
    errors = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 0
    assert errors.count("Trying again.") <= 1
