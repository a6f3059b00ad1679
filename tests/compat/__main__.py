"""Runs the tests of Django and of other packages, without the app and with it, and compares.

Whatever passes without the app has to pass with it, unless `differences.toml` says why it does not.
The exit code is 0 if that is so, and if everything in the list still is as it says.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from tests.compat import documented
from tests.compat.report import Finding, find, hold, render
from tests.compat.running import Job, run_twice
from tests.compat.sources import source
from tests.compat.suites import DATABASES, SUITES


def main(arguments: list[str] | None = None) -> int:
    """Run what is asked for, print what differs, and return the exit code."""
    options = _parser().parse_args(arguments)
    entries = documented.load(documented.LIST.read_text())
    jobs = choose(options.only, options.database, short=options.short)
    if not jobs:
        sys.exit(f"There is nothing of that name. There are: {', '.join(_names())}.")
    for suite in {job.suite.name: job.suite for job in jobs}.values():
        source(suite)  # Before several want to download it.
    with ThreadPoolExecutor(options.jobs) as pool:
        findings = list(pool.map(partial(_do, entries), jobs))
    report = hold(findings, entries)
    print(render(report))
    return 0 if report.is_clean else 1


def choose(only: Sequence[str], databases: Sequence[str], *, short: bool) -> list[Job]:
    """Return the jobs called `only`, such as ``django`` or ``django/writes``; by default all."""
    return [
        Job(suite, part, database)
        for suite in SUITES.values()
        for part in (suite.short if short else suite.parts)
        for database in DATABASES
        if database in databases
        and (not only or suite.name in only or f"{suite.name}/{part}" in only)
    ]


def _names() -> list[str]:
    return [f"{suite.name}/{part}" for suite in SUITES.values() for part in suite.parts]


def _do(entries: Sequence[documented.Documented], job: Job) -> Finding:
    finding = find(job, *run_twice(job))
    if finding.held_against(entries).unexplained:
        # As they are, and not by themselves: a test may fail because of one before it.
        finding = finding.confirmed_by(find(job, *run_twice(job)))
    number = len(finding.differences)
    print(f"{job}: {len(finding.tests):,} tests, {number} differ", file=sys.stderr, flush=True)
    return finding


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.compat", description=__doc__)
    parser.add_argument("--short", action="store_true", help="what is nearest to what the app does")
    parser.add_argument("--only", nargs="+", metavar="NAME", default=(), help="suites, or parts")
    parser.add_argument("--database", nargs="+", choices=DATABASES, default=DATABASES)
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="how many at once")
    return parser


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
