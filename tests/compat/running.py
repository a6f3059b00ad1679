"""Runs one part of a suite on one database, first without the app and then with it."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory, TemporaryFile
from typing import Final, LiteralString

import psycopg

from example_project.database_url import parse_database_url
from example_project.servers import PostgresServer, ValkeyServer, die_with_parent
from tests.compat.outcomes import Run, read
from tests.compat.sources import source
from tests.compat.suites import Database, Suite

# In memory; each alias has its own.
SQLITE: Final = {"ENGINE": "django.db.backends.sqlite3"}
INSIDE: Final = Path(__file__).with_name("inside.py")
LONGEST: Final = 3600  # seconds that a run may take
LAST_LINES: Final = 40  # of the output of a run that broke off

# What else would find its way to the suite.
_OURS: Final = ("DJANGO_SETTINGS_MODULE", "DATABASE_URL", "REDIS_URL")


@dataclass(frozen=True, slots=True)
class Job:
    """A part of a suite, and the database it is run on."""

    suite: Suite
    part: str
    database: Database

    def __str__(self) -> str:
        parts = f"/{self.part}" if len(self.suite.parts) > 1 else ""
        return f"{self.suite.name}{parts} on {self.database}"


def run_twice(job: Job) -> tuple[Run, Run]:
    """Return what becomes of the tests without the app, and with it, on servers of their own."""
    if job.database == "sqlite":
        return _run(job, app=False), _run(job, app=True)
    with PostgresServer() as server:
        return _run(job, app=False, url=server.url), _run(job, app=True, url=server.url)


def _run(job: Job, *, app: bool, url: str = "") -> Run:
    with TemporaryDirectory() as directory, ValkeyServer() as valkey:
        report = Path(directory) / "report"
        plan = {
            "app": app,
            "report": str(report),
            "database": parse_database_url(url) if url else SQLITE,
            "server": _what_there_is(url) if url else {},
            "cache": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": valkey.url},
        }
        # Some suites look for it, for what they do on PostgreSQL only.
        variables = {"DATABASE_URL": url} if url else {}
        output = _execute(job, {**variables, "COMPAT": json.dumps(plan)})
        lines = report.read_text().splitlines() if report.exists() else []
    return read(lines, output)


def _what_there_is(url: str) -> dict[str, list[str]]:
    """Return what not every PostgreSQL has been built with, as far as this one has it."""
    queries: dict[str, LiteralString] = {
        "extensions": "SELECT name FROM pg_available_extensions",
        "collations": "SELECT DISTINCT collname FROM pg_collation",
    }
    with psycopg.connect(url) as connection:
        return {
            name: [row[0] for row in connection.execute(query)] for name, query in queries.items()
        }


def _execute(job: Job, variables: Mapping[str, str]) -> str:
    """Run the tests, whatever becomes of them; return the end of what is printed."""
    suite = job.suite
    inherited = {name: value for name, value in os.environ.items() if name not in _OURS}
    with TemporaryFile() as printed:
        with suppress(subprocess.TimeoutExpired):
            subprocess.run(
                [sys.executable, str(INSIDE), *suite.command, *suite.parts[job.part]],
                cwd=source(suite) / suite.folder,
                env={**inherited, **variables},
                stdin=subprocess.DEVNULL,
                stdout=printed,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent(signal.SIGKILL),
                check=False,
                timeout=LONGEST,
            )
        printed.seek(0)
        lines = printed.read().decode(errors="replace").splitlines()
    return "\n".join(lines[-LAST_LINES:])
