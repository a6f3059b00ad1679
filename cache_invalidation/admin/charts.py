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

from cache_invalidation.admin.causes import CAUSES
from cache_invalidation.admin.numbers import NOTHING, duration, number
from cache_invalidation.metrics.report import read_minutes
from cache_invalidation.metrics.shapes import Minute

Number = float | None

# So many entity types get a line of their own; the others share one.
LINES: Final = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """How far back the charts go, and how many minutes make one point; both in minutes.

    `within` is how a sentence about it ends.
    """

    name: str
    label: str | Promise
    within: str | Promise
    minutes: int
    step: int


PERIODS: Final = {
    period.name: period
    for period in (
        Period(
            name="hour",
            label=gettext_lazy("Last hour"),
            within=gettext_lazy("in the last hour"),
            minutes=60,
            step=1,
        ),
        Period(
            name="day",
            label=gettext_lazy("Last day"),
            within=gettext_lazy("in the last day"),
            minutes=24 * 60,
            step=10,
        ),
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
    """Series over the same points of `time`, in seconds since the epoch.

    What is in seconds, by its `unit`, is drawn on a logarithmic scale: what waited for an hour must
    not flatten all that took a millisecond.
    """

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
                yield time, [NOTHING if value is None else self._cell(value) for value in values]

    def _cell(self, value: float) -> str:
        return duration(value) if self.unit == "s" else number(value)


def read_points(period: Period, name: str | None = None) -> list[Minute]:
    """Return the points of `period`, of all or of `name`; raises `StoreUnavailable`."""
    return read_minutes(period.minutes, step=period.step, name=name)


def hit_rate(points: Sequence[Minute]) -> Chart:
    return _chart(
        "hit-rate",
        _("Hit rate"),
        "%",
        points,
        _line(points, _("Hit rate (%)"), _hit_rate),
        _line(points, _("Hits"), lambda point: point["hits"], is_drawn=False),
        _line(points, _("Misses"), lambda point: point["misses"], is_drawn=False),
        _line(points, _("Bypasses"), lambda point: point["bypasses"], is_drawn=False),
    )


def misses(points: Sequence[Minute]) -> Chart:
    """Return the misses by cause, those that there were."""
    found = {cause for point in points for cause in point["missed"]}
    causes = [cause for cause in CAUSES if cause in found] or ["new"]
    lines = [
        _line(
            points,
            str(CAUSES[cause].name),
            _missed(cause),
        )
        for cause in causes
    ]
    return _chart("missed", _("Misses by cause"), "", points, *lines)


def invalidations(points: Sequence[Minute]) -> Chart:
    title = _("Invalidations by entity type")
    return _chart("invalidations", title, "", points, *_by_entity_type(points))


def latency(points: Sequence[Minute]) -> Chart:
    lines = [
        _line(points, _("%(percent)s %% within") % {"percent": name[1:]}, _latency(name))
        for name in ("p50", "p95", "p99")
    ]
    return _chart("latency", _("From COMMIT until invalidated"), "s", points, *lines)


def failures(points: Sequence[Minute]) -> Chart:
    label = _("Targets not invalidated")
    line = _line(points, label, lambda point: point["failed_invalidations"])
    return _chart("failures", _("Failures"), "", points, line)


def _chart(name: str, title: str, unit: str, points: Sequence[Minute], *series: Series) -> Chart:
    times = [point["time"] for point in points]
    return Chart(name=name, title=title, unit=unit, times=times, series=series)


def _line(
    points: Sequence[Minute], label: str, of: Callable[[Minute], Number], is_drawn: bool = True
) -> Series:
    return Series(label=label, values=[of(point) for point in points], is_drawn=is_drawn)


def _hit_rate(point: Minute) -> Number:
    reads = point["hits"] + point["misses"]
    return round(100 * point["hits"] / reads, 1) if reads else None


def _missed(cause: str) -> Callable[[Minute], Number]:
    return lambda point: point["missed"].get(cause, 0)


def _latency(name: str) -> Callable[[Minute], Number]:
    def of(point: Minute) -> Number:
        seconds: Number = point["latency"][name]  # type: ignore[literal-required]
        return seconds

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
