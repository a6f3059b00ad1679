"""The shop of ``docs/how-to/existing-project.md``, written to disk with and without the app."""

import json
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from tests import processes

PAGE: Final = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "existing-project.md"
VISITS: Final = Path(__file__).with_name("visits.py")

_BLOCK = re.compile(r"^```(python|django|diff)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r" ?(?:# |\{# )(store/[\w/]+\.(?:py|html))\b")


def _blocks() -> Iterator[tuple[bool, str, str]]:
    """Yield whether it is a diff, the name of the file and the text, of each block of the shop."""
    for language, text in _BLOCK.findall(PAGE.read_text()):
        if named := _FILE.match(text):
            yield language == "diff", named[1], text


def files() -> dict[str, str]:
    """Return the shop without the app, by the names of its files."""
    return {name: text for is_diff, name, text in _blocks() if not is_diff}


def diffs() -> dict[str, str]:
    """Return what has to be done to which file."""
    return {name: text for is_diff, name, text in _blocks() if is_diff}


def added(diff: str) -> list[str]:
    """Return the lines that `diff` adds; one that it changes is added as well."""
    return [line[1:] for line in diff.splitlines() if line.startswith("+")]


def patched(text: str, diff: str) -> str:
    """Return `text` with the hunks of `diff` done to it, each of which fits at one place."""
    _, _, hunks = diff.partition("\n")  # The first line is the name of the file.
    for hunk in hunks.split("@@\n"):
        lines = hunk.splitlines(keepends=True)
        before = "".join(line[1:] for line in lines if not line.startswith("+"))
        after = "".join(line[1:] for line in lines if not line.startswith("-"))
        assert text.count(before) == 1, f"There should be one of:\n{before}"
        text = text.replace(before, after)
    return text


class Project:
    """One of the shops, in a folder, with a database and a part of the cache of its own."""

    def __init__(self, folder: Path, redis_url: str, contents: dict[str, str]) -> None:
        self.folder = folder
        for name, text in contents.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        (folder / "store" / "__init__.py").touch()
        ours = ("DJANGO_", "COVERAGE_", "DATABASE_URL")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
        self.environment = {
            **kept,
            "REDIS_URL": redis_url,
            "DJANGO_SETTINGS_MODULE": "store.settings",
            "PYTHONPATH": os.pathsep.join([str(folder), *sys.path]),
        }

    def visit(self, times: int) -> list[dict[str, Any]]:
        """Return the answers of this shop while it is visited and edited; see `visits`."""
        self._run("-m", "django", "migrate", "--run-syncdb", "-v", "0")
        self._run("-m", "django", "check", "--database", "default", "--fail-level", "WARNING")
        self._run(str(VISITS), str(times), "answers.json")
        answers: list[dict[str, Any]] = json.loads((self.folder / "answers.json").read_text())
        return answers

    def _run(self, *arguments: str) -> None:
        command = [sys.executable, "-W", "error", *arguments]
        processes.run(command, self.folder, self.environment)
