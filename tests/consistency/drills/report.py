"""What came of a drill, as a verdict, as a line of a table and as JSON."""

from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass, field
from typing import Any, Final

HEADINGS: Final = (
    "drill",
    "requests",
    "failed",
    "stale meanwhile",
    "stale after",
    "lost",
    "kept in outbox",
    "left in outbox",
    "normal after",
    "slowest",
    "",
)


@dataclass(slots=True, kw_only=True)
class Report:
    """Everything in it was counted or measured.

    `refused` are writes that the database refused or lost, or that were rolled back on purpose.
    `lost` are values and plain keys that are still cached at the end and should not be.
    `kept` and `left` are rows of the outbox: when the fault ended, and at the end. `seconds` is how
    long it took, from the end of the fault, until every process was served from the cache again and
    the outbox was empty; None if that never happened. `slowest` is in seconds, `slow` the number of
    requests that took as long as a time-out or longer. `broken` are the requirements that were not
    kept, and `notes` what else is worth knowing.
    """

    name: str
    title: str
    requests: int
    writes: int
    failed: int
    refused: int
    stale_before: int
    stale_meanwhile: int
    stale_after: int
    lost: int
    kept: int
    left: int
    seconds: float | None
    slowest: float
    slow: int
    notes: list[str] = field(default_factory=list)
    broken: list[str] = field(default_factory=list)

    def requirements(self, *, may_refuse: bool) -> Iterator[str]:
        """Yield what was required and not kept, in words."""
        stale = self.stale_before + self.stale_meanwhile
        broken = {
            f"{self.failed} requests failed because of the cache.": self.failed,
            f"{self.refused} writes were refused.": self.refused and not may_refuse,
            f"{stale} reads before everything was back to normal were stale.": stale,
            f"{self.stale_after} reads after that were stale.": self.stale_after,
            f"{self.lost} invalidations were lost.": self.lost,
            f"{self.left} rows were left in the outbox.": self.left,
            "It did not get back to normal.": self.seconds is None,
        }
        yield from (text for text, is_broken in broken.items() if is_broken)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as it stands in the JSON."""
        return asdict(self)


def render(reports: Iterable[Report]) -> str:
    """Return an aligned table, and below it what else there is to say."""
    reports = list(reports)
    lines = [HEADINGS, *map(_cells, reports)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    table = [
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([*table, *_remarks(reports)])


def _cells(report: Report) -> tuple[str, ...]:
    numbers = (
        report.requests,
        report.failed,
        report.stale_before + report.stale_meanwhile,
        report.stale_after,
        report.lost,
        report.kept,
        report.left,
    )
    return (
        report.name,
        *(f"{number:,}" for number in numbers),
        "never" if report.seconds is None else f"{report.seconds:.1f} s",
        f"{report.slowest * 1000:,.0f} ms",
        "BROKEN" if report.broken else "ok",
    )


def _remarks(reports: Iterable[Report]) -> Iterable[str]:
    for report in reports:
        for kind, texts in (("", report.notes), ("BROKEN: ", report.broken)):
            yield from (f"{report.name}: {kind}{text}" for text in texts)
