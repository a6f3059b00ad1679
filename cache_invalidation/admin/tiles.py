"""Single numbers, with what they mean."""

from dataclasses import dataclass
from typing import Any, Final, Literal

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from cache_invalidation.admin.charts import Period
from cache_invalidation.admin.numbers import NOTHING, duration, number, percent
from cache_invalidation.metrics.figures import Figures
from cache_invalidation.metrics.shapes import Metrics, Minute, StoreState

FEW: Final = 10  # of which a share says nothing

Level = Literal["", "good", "warn", "bad"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    """A number or a word, what it is of, and what has to be said besides."""

    label: str | Promise
    value: str | Promise
    notes: tuple[str | Promise, ...] = ()
    level: Level = ""
    url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sums:
    """What the points of a period add up to."""

    hits: int
    misses: int
    bypasses: int
    failed: int
    near_hits: int
    waits: int
    waited: float
    within: str | Promise

    @classmethod
    def of(cls, points: list[Minute], period: Period) -> "Sums":
        return cls(
            hits=sum(point["hits"] for point in points),
            misses=sum(point["misses"] for point in points),
            bypasses=sum(point["bypasses"] for point in points),
            failed=sum(point["failed_invalidations"] for point in points),
            near_hits=sum(point["near_hits"] for point in points),
            waits=sum(point["waited"]["waits"] for point in points),
            waited=sum(point["waited"]["seconds"] for point in points),
            within=period.within,
        )


def cache_tile(state: StoreState, since: str) -> Tile:
    words: dict[str, tuple[str, Level]] = {
        "working": (_("Working"), "good"),
        "down": (_("Down"), "bad"),
        "recovering": (_("Recovering"), "warn"),
    }
    value, level = words.get(state["state"], (_("Not usable"), "bad"))
    notes = [_("since %(time)s") % {"time": since}] if since else []
    notes += [state["reason"]] if state["reason"] else []
    if outages := state["outages"]:
        text = ngettext(
            "%(n)d outage seen by this process", "%(n)d outages seen by this process", outages
        )
        notes.append(text % {"n": outages})
    label = _("Cache “%(alias)s”") % {"alias": state["alias"]} if state["alias"] else _("Cache")
    return Tile(label=label, value=value, notes=tuple(notes), level=level)


def outbox_tile(waiting: int, url: str) -> Tile:
    note = ngettext("invalidation waits", "invalidations wait", waiting)
    level: Level = "warn" if waiting else "good"
    return Tile(label=_("Outbox"), value=number(waiting), notes=(note,), level=level, url=url)


def failed_tile(sums: Sums) -> Tile:
    return Tile(
        label=_("Failed"),
        value=number(sums.failed),
        notes=(_("targets not invalidated"), sums.within),
        level="bad" if sums.failed else "good",
    )


def stale_tile(metrics: Metrics, since: str) -> Tile:
    checked, stale = metrics["checked_hits"], metrics["stale_hits"]
    if not checked:
        return Tile(label=_("Stale"), value=NOTHING, notes=(_("no hit was compared yet"),))
    return Tile(
        label=_("Stale"),
        value=number(stale),
        notes=(_("of %(n)s hits that were compared") % {"n": number(checked)}, since),
        level="bad" if stale else "good",
    )


def hit_rate_tile(sums: Sums) -> Tile:
    reads = _("%(hits)s hits, %(misses)s misses, %(bypasses)s bypasses") % {
        "hits": number(sums.hits),
        "misses": number(sums.misses),
        "bypasses": number(sums.bypasses),
    }
    value = percent(sums.hits, sums.hits + sums.misses)
    return Tile(label=_("Hit rate"), value=value, notes=(reads, sums.within))


def saving_tiles(metrics: Metrics, sums: Sums, since: str) -> list[Tile]:
    figures = metrics["figures"].values()
    sampled = sum(each["sampled_fills"] for each in figures)
    in_vain = sampled - sum(each["hit_fills"] for each in figures)
    return [
        hit_rate_tile(sums),
        Tile(
            label=_("Computing saved"),
            value=duration(sum(each["saved"] or 0 for each in figures)),
            notes=(_("what hits would have taken"), since),
        ),
        Tile(
            label=_("Computing spent"),
            value=duration(sum(each["seconds"] for each in figures)),
            notes=(_("after misses"), since),
        ),
        _in_vain(in_vain, sampled, since),
    ]


def name_tiles(metrics: Metrics, name: str, sums: Sums, timeout: Any) -> list[Tile]:
    """Return the tiles of the page of one function, page or block; `timeout` is "" if unknown."""
    found: Figures | None = metrics["figures"].get(name)
    if found is None:
        return [hit_rate_tile(sums)]
    times = _("%(n)s computed: half within %(p50)s, 95 %% within %(p95)s") % {
        "n": number(found["computed"]),
        "p50": duration(found["p50"]),
        "p95": duration(found["p95"]),
    }
    fills, unstored = found["fills"], metrics["not_stored"].get(name, {})
    size = number(round(found["bytes"] / fills)) if fills else None
    compared, equal = found["compared_refills"], found["equal_refills"]
    lives = _("none") if timeout is None else duration(timeout) if timeout != "" else NOTHING
    return [
        hit_rate_tile(sums),
        Tile(label=_("Computing saved"), value=duration(found["saved"]), notes=()),
        Tile(label=_("Computing spent"), value=duration(found["seconds"]), notes=(times,)),
        Tile(
            label=_("Size of a value"),
            value=_("%(n)s bytes") % {"n": size} if size else NOTHING,
            notes=(_("on average; %(n)s stored") % {"n": number(fills)},),
        ),
        _in_vain(found["sampled_fills"] - found["hit_fills"], found["sampled_fills"]),
        Tile(
            label=_("Dropped for nothing"),
            value=percent(equal, compared),
            notes=(
                _("%(equal)s of %(n)s refills were equal to what had been dropped")
                % {"equal": number(equal), "n": number(compared)},
            ),
            level="warn" if compared >= FEW and equal > compared / 2 else "",
        ),
        Tile(
            label=_("Not stored"),
            value=number(sum(unstored.values())),
            notes=(_("reason: %(why)s") % {"why": max(unstored, key=lambda why: unstored[why])},)
            if unstored
            else (),
            level="warn" if unstored else "",
        ),
        Tile(label=_("Timeout"), value=lives),
    ]


def near_tiles(metrics: Metrics, sums: Sums, name: str | None = None) -> list[Tile]:
    """Return what processes answer from memory, and what writers pay for it; none if none do."""
    used = {*metrics["near_hits"], *metrics["waits_by_name"]}
    if not used or (name is not None and name not in used):
        return []
    hits = ngettext("%(n)s hit asked nobody", "%(n)s hits asked nobody", sums.near_hits)
    waits = ngettext(
        "for processes to drop it, in %(n)s write",
        "for processes to drop it, in %(n)s writes",
        sums.waits,
    )
    return [
        Tile(
            label=_("Answered from memory"),
            value=percent(sums.near_hits, sums.hits),
            notes=(hits % {"n": number(sums.near_hits)}, sums.within),
        ),
        Tile(
            label=_("Writers waited"),
            value=duration(sums.waited),
            notes=(waits % {"n": number(sums.waits)}, sums.within),
        ),
    ]


def _in_vain(never_hit: int, sampled: int, *since: str) -> Tile:
    if sampled < FEW:
        few = ngettext(
            "%(n)d value was followed, too few to tell",
            "%(n)d values were followed, too few to tell",
            sampled,
        )
        return Tile(label=_("Stored in vain"), value=NOTHING, notes=(few % {"n": sampled}, *since))
    return Tile(
        label=_("Stored in vain"),
        value=percent(never_hit, sampled),
        notes=(_("of %(n)s values that were followed, never hit") % {"n": number(sampled)}, *since),
    )
