"""The management commands of the metrics."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from django.core.management import CommandError, call_command

from cache_invalidation import cached, invalidate
from cache_invalidation.metrics.counters import counters
from example_project.servers import ValkeyServer

ROOT = Path(__file__).resolve().parents[2]


@cached(tags=["commands"], name="commands.page")
def page() -> str:
    return "value"


@pytest.fixture(autouse=True)
def only_what_is_counted_here(settings: Any) -> Iterator[None]:
    settings.CACHE_INVALIDATION = {"RETRY_INTERVAL": 0.001}
    counters.discard()
    yield
    counters.discard()


@pytest.fixture
def down(settings: Any, valkey: ValkeyServer) -> None:
    settings.CACHES = settings.CACHES | {
        "default": settings.CACHES["default"] | {"LOCATION": valkey.url}
    }
    valkey.kill()


def output_of(*arguments: str) -> str:
    output = StringIO()
    call_command(*arguments, stdout=output)
    return output.getvalue()


def shell(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    """Run a command as an operator does."""
    code = (
        f"import os; os.environ.update({environment!r}); "
        "from django.core.management import execute_from_command_line as run; "
        f"run(['manage.py', *{arguments!r}])"
    )
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def test_metrics_can_be_shown_before_anything_was_counted():
    text = output_of("cache_metrics")
    assert "Since nothing was counted yet" in text
    assert "no rate yet (0 hits, 0 misses, 0 bypasses)" in text
    assert "nothing was delivered yet" in text


def test_metrics_are_shown_as_text():
    for _ in range(4):
        page()
    invalidate(tags=["a", "b"], keys=["c"], entity_type="shop.product")
    lines = [" ".join(line.split()) for line in output_of("cache_metrics").splitlines()]
    assert "reads 75.0% hits (3 hits, 1 misses, 0 bypasses)" in lines
    assert "commands.page 75.0% hits (3 hits, 1 misses, 0 bypasses)" in lines
    assert "shop.product 1" in lines
    assert {"tags 2", "keys 1", "patterns 0", "failed 0", "pending 0"} <= set(lines)
    assert "cache default (working)" in lines
    assert re.search(
        r"^latency p50 [\d.]+ ms, p95 [\d.]+ ms, p99 [\d.]+ ms$", "\n".join(lines), re.M
    )
    assert lines[-1].startswith("last 20")
    assert lines[-1].endswith("shop.product manual")


def test_metrics_are_shown_as_json():
    page()
    invalidate(tags=["a"], entity_type="größe")
    found = json.loads(output_of("cache_metrics", "--format", "json"))
    assert found["misses"] == 1
    assert found["invalidations_by_entity_type"] == {"größe": 1}
    assert found["last_invalidation"]["targets"]["tags"] == ["a"]
    assert "minutes" not in found


def test_minutes_are_shown_on_demand():
    page()
    found = json.loads(output_of("cache_metrics", "--format=json", "--minutes=3"))
    assert len(found["minutes"]) == 3
    assert sum(minute["misses"] for minute in found["minutes"]) == 1


def test_the_last_invalidations_are_shown_on_demand():
    for number in range(3):
        invalidate(tags=[f"tag:{number}", "a tag"], keys=["key"], entity_type="shop.product")
    found = json.loads(output_of("cache_metrics", "--format=json", "--recent=2"))
    tags = [entry["targets"]["tags"] for entry in found["recent"]]
    assert tags == [["a tag", "tag:2"], ["a tag", "tag:1"]]
    assert found["recent"][0]["sizes"] == {"tags": 2, "keys": 1, "patterns": 0}
    text = output_of("cache_metrics", "--recent=2")
    recent = text.splitlines()[-8:]
    about, *names = recent[:4]
    assert re.fullmatch(r"20\S+  shop\.product  manual  -  default  [\d.]+ ms", about)
    assert [line.split(maxsplit=1) for line in names] == [
        ["tags", "a tag"],
        ["tags", "tag:2"],
        ["keys", "key"],
    ]
    assert "tag:0" not in text


def test_what_is_left_out_of_the_last_invalidations_is_said():
    invalidate(tags=[f"tag:{number}" for number in range(200)])
    lines = output_of("cache_metrics", "--recent=1").splitlines()
    assert lines[-2:] == ["  tags     tag:115", "  tags     and 180 more"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--minutes=-1", "--format=json"], "--minutes is a number from 0 to 1440"),
        (["--minutes=1441", "--format=json"], "--minutes is a number from 0 to 1440"),
        (["--minutes=5"], "--minutes goes with --format json only"),
        (["--recent=-1"], "--recent is a number from 0 to 1000"),
        (["--recent=1001"], "--recent is a number from 0 to 1000"),
    ],
)
def test_numbers_that_no_answer_can_have_are_refused(arguments: list[str], complaint: str):
    with pytest.raises(CommandError, match=complaint):
        output_of("cache_metrics", *arguments)


def test_a_cache_that_does_not_exist_is_named_in_whole_sentences(settings: Any):
    settings.CACHE_INVALIDATION = {"CACHE": "nowhere"}
    with pytest.raises(CommandError, match=r"exist\. \d+ invalidations wait in the outbox\."):
        output_of("cache_metrics")


def test_a_reset_says_since_when_everything_is_zero():
    page()
    assert output_of("reset_cache_metrics").startswith("All counters are zero since 20")
    assert json.loads(output_of("cache_metrics", "--format=json"))["misses"] == 0


def test_a_reset_answers_in_json():
    answer = json.loads(output_of("reset_cache_metrics", "--format", "json"))
    assert answer["reset"] is True
    assert answer["since"] == json.loads(output_of("cache_metrics", "--format=json"))["since"]


@pytest.mark.parametrize("command", ["cache_metrics", "reset_cache_metrics"])
@pytest.mark.usefixtures("down")
def test_a_store_that_is_down_is_a_command_error(command: str):
    with pytest.raises(CommandError, match=r"The cache does not answer: .*Error"):
        output_of(command)


@pytest.mark.parametrize("command", ["cache_metrics", "reset_cache_metrics"])
@pytest.mark.parametrize("arguments", [["--format", "xml"], ["--unknown"]])
def test_arguments_that_mean_nothing_are_refused(command: str, arguments: list[str]):
    with pytest.raises(CommandError):
        output_of(command, *arguments)


@pytest.mark.parametrize("command", ["cache_metrics", "reset_cache_metrics"])
def test_in_a_shell_a_command_exits_with_zero(command: str):
    result = shell(command, "--format", "json")
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["since" if command == "reset_cache_metrics" else "hits"] != ""


@pytest.mark.parametrize("command", ["cache_metrics", "reset_cache_metrics"])
def test_in_a_shell_a_store_that_is_down_is_one_clear_line_and_exit_status_one(command: str):
    result = shell(command, "--skip-checks", REDIS_URL="unix:///nobody-listens-here.sock")
    assert result.returncode == 1
    assert "CommandError: The cache does not answer" in result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
