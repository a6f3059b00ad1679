"""The counters of the last hour or day, as series of numbers: drawn by uPlot, and in tables."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from django.utils import timezone
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cache_invalidation.metrics.report import Minute, read_minutes

Number = float | None

# So many entity types get a line of their own; the others share one.
LINES: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """How far back the charts go, and how many minutes make one point; both in minutes."""

    name: str
    label: str | Promise
    minutes: int
    step: int


PERIODS: Final = {
    period.name: period
    for period in (
        Period(name="hour", label=gettext_lazy("Last hour"), minutes=60, step=1),
        Period(name="day", label=gettext_lazy("Last day"), minutes=24 * 60, step=10),
    )
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One line of a chart, and one column of its table; some are in the table only."""

    label: str
    values: Sequence[Number]
    is_drawn: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Chart:
    """Series over the same points of `time`, in seconds since the epoch."""

    name: str
    title: str
    unit: str
    times: Sequence[int]
    series: Sequence[Series]

    @property
    def data_id(self) -> str:
        """The ``id`` under which the page has what is drawn."""
        return f"ci-{self.name}"

    @property
    def columns(self) -> int:
        """How wide the table is."""
        return 1 + len(self.series)

    def as_dict(self) -> dict[str, Any]:
        """Return what is drawn."""
        drawn = [series for series in self.series if series.is_drawn]
        return {
            "times": self.times,
            "unit": self.unit,
            "time": _("Time"),
            "zone": timezone.get_current_timezone_name(),
            "series": [{"label": series.label, "values": series.values} for series in drawn],
        }

    @property
    def rows(self) -> Iterator[tuple[datetime, list[str]]]:
        """The table: the newest first, without the points at which there is nothing to say."""
        zone = timezone.get_current_timezone()
        for place in reversed(range(len(self.times))):
            values = [series.values[place] for series in self.series]
            if any(values):
                time = datetime.fromtimestamp(self.times[place], tz=zone)
                yield time, ["-" if value is None else _cell(value) for value in values]


def charts(period: Period) -> list[Chart]:
    """Return the charts of `period`; raises `StoreUnavailable` if the store does not answer."""
    points = read_minutes(period.minutes, step=period.step)

    def chart(name: str, title: str, unit: str, *series: Series) -> Chart:
        times = [point["time"] for point in points]
        return Chart(name=name, title=title, unit=unit, times=times, series=series)

    def line(label: str, of: Callable[[Minute], Number], is_drawn: bool = True) -> Series:
        return Series(label=label, values=[of(point) for point in points], is_drawn=is_drawn)

    return [
        chart(
            "hit-rate",
            _("Hit rate"),
            "%",
            line(_("Hit rate (%)"), _hit_rate),
            line(_("Hits"), lambda point: point["hits"], is_drawn=False),
            line(_("Misses"), lambda point: point["misses"], is_drawn=False),
            line(_("Bypasses"), lambda point: point["bypasses"], is_drawn=False),
        ),
        chart(
            "invalidations",
            _("Invalidations by entity type"),
            "",
            *_by_entity_type(points),
        ),
        chart(
            "latency",
            _("From COMMIT until invalidated"),
            "ms",
            *(
                line(_("%(percent)s %% within (ms)") % {"percent": name[1:]}, _latency(name))
                for name in ("p50", "p95", "p99")
            ),
        ),
        chart(
            "failures",
            _("Failures"),
            "",
            line(_("Targets that could not be invalidated"), lambda p: p["failed_invalidations"]),
        ),
    ]


def _cell(value: float) -> str:
    """Return `value` with all of its digits, and no `.0` behind it."""
    return f"{round(value, 1):,}".removesuffix(".0")


def _hit_rate(point: Minute) -> Number:
    reads = point["hits"] + point["misses"]
    return round(100 * point["hits"] / reads, 1) if reads else None


def _latency(name: str) -> Callable[[Minute], Number]:
    def of(point: Minute) -> Number:
        seconds: Number = point["latency"][name]  # type: ignore[literal-required]
        return None if seconds is None else 1000 * seconds

    return of


def _by_entity_type(points: Sequence[Minute]) -> Iterator[Series]:
    total: Counter[str] = Counter()
    for point in points:
        total.update(point["invalidations_by_entity_type"])
    names = [name for name, _ in total.most_common(LINES)]
    for name in names:
        values = [point["invalidations_by_entity_type"].get(name, 0) for point in points]
        yield Series(label=name, values=values)
    if len(total) > LINES:
        rest = [
            sum(n for name, n in point["invalidations_by_entity_type"].items() if name not in names)
            for point in points
        ]
        yield Series(label=_("Others"), values=rest)
    if not total:
        yield Series(label=_("Invalidations"), values=[0] * len(points))
