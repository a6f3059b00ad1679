"""What all the runs come to: a table, what nobody has documented, and what no longer is so."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Final

import django

from tests.compat.documented import LIST, Documented, Judged, Place, applying, judge
from tests.compat.outcomes import Difference, Result, Run, compare, doubts
from tests.compat.running import Job

LAST_LINES: Final = 12  # of a traceback


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What the two runs of a job come to."""

    job: Job
    tests: frozenset[str]
    passed_without: int
    differences: Sequence[Difference]
    doubts: Sequence[str]
    #: Tests that have differed, but not when they were run again.
    unsteady: Sequence[str] = ()

    @property
    def place(self) -> Place:
        return Place(self.job.suite.name, self.job.database, django.get_version())

    def held_against(self, entries: Iterable[Documented]) -> Judged:
        """Hold the differences against the list."""
        return _hold(self.place, [self], entries)

    def confirmed_by(self, again: "Finding") -> "Finding":
        """Return what both have found; tests that measure time need not fail twice."""
        confirmed = {each.test for each in again.differences}
        return replace(
            self,
            differences=[each for each in self.differences if each.test in confirmed],
            doubts=[*self.doubts, *again.doubts],
            unsteady=[each.test for each in self.differences if each.test not in confirmed],
        )


def find(job: Job, without: Run, with_app: Run) -> Finding:
    """Compare two runs of a job, test by test."""
    suite = job.suite
    return Finding(
        job=job,
        tests=frozenset(without.results),
        passed_without=without.number_of("passed"),
        differences=[
            each
            for each in compare(without, with_app)
            if not any(fnmatchcase(each.test, name) for name in suite.timed)
        ],
        doubts=doubts(without, with_app, delivers=job.part not in suite.idle),
    )


@dataclass(frozen=True, slots=True)
class Report:
    """All findings, and what the list says about them."""

    findings: Sequence[Finding]
    judged: Mapping[Place, Judged]

    @property
    def is_clean(self) -> bool:
        """Whether every run counts, every difference is explained, and every entry is met."""
        return not any(finding.doubts for finding in self.findings) and not any(
            judged.unexplained or judged.outdated for judged in self.judged.values()
        )


def hold(findings: Sequence[Finding], entries: Sequence[Documented]) -> Report:
    """Hold `findings` against the list of documented differences."""
    by_place: dict[Place, list[Finding]] = {}
    for finding in findings:
        by_place.setdefault(finding.place, []).append(finding)
    judged = {place: _hold(place, found, entries) for place, found in by_place.items()}
    return Report(findings, judged)


def _hold(place: Place, findings: Sequence[Finding], entries: Iterable[Documented]) -> Judged:
    return judge(
        applying(entries, place),
        [difference.test for finding in findings for difference in finding.differences],
        [test for finding in findings for test in finding.tests],
        all_tests={finding.job.part for finding in findings} == set(findings[0].job.suite.parts),
    )


def render(report: Report) -> str:
    """Return the report as text."""
    return "\n".join([*_table(report.findings), *_details(report)])


def _table(findings: Iterable[Finding]) -> Iterable[str]:
    yield f"{'':32}{'tests':>8}{'pass without':>15}{'differ with':>14}"
    for finding in findings:
        numbers = len(finding.tests), finding.passed_without, len(finding.differences)
        yield "{:32}{:>8,}{:>15,}{:>14,}".format(str(finding.job), *numbers)


def _details(report: Report) -> Iterable[str]:
    results: dict[tuple[str, str, str], Result] = {}
    for finding in report.findings:
        for doubt in finding.doubts:
            yield f"\n{finding.job}: {doubt}"
        for test in finding.unsteady:
            yield f"\n{finding.job}: {test} has differed, but not when it was run again."
        for each in finding.differences:
            results[finding.job.suite.name, finding.job.database, each.test] = each.result
    for place, judged in report.judged.items():
        where = f"{place.suite} on {place.database}, Django {place.django}"
        for test in judged.unexplained:
            result = results[place.suite, place.database, test]
            yield f"\nNOT DOCUMENTED, {where}: {test}: {result.outcome}"
            yield from result.text.splitlines()[-LAST_LINES:]
        for name in judged.outdated:
            yield f"\nOUTDATED, {where}: {name} is in the list, but does not differ."
    explained = sum(len(judged.explained) for judged in report.judged.values())
    yield f"\n{explained} documented differences, with their reasons in {LIST.name}."
