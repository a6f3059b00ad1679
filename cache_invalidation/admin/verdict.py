"""Whether it is working, in one sentence."""

from typing import NamedTuple

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from cache_invalidation.admin.tiles import Level, Sums
from cache_invalidation.metrics.shapes import Metrics, StoreState


class Verdict(NamedTuple):
    """The answer, and why it is that."""

    level: Level
    answer: str
    reason: str


def verdict(state: StoreState, waiting: int, metrics: Metrics | None, sums: Sums | None) -> Verdict:
    """Return the worst that can be said; no `metrics` where the cache did not answer."""
    if state["state"] == "recovering":
        text = _("The cache is back. It is read again once everything that waits was delivered.")
        return Verdict("warn", _("Not yet."), text)
    if state["state"] != "working" or metrics is None or sums is None:
        text = _(
            "The cache does not answer. Values are computed without it; writes wait in the outbox."
        )
        return Verdict("bad", _("No."), text)
    if stale := metrics["stale_hits"]:
        text = ngettext(
            "%(n)d hit was stale. The log of the site says which one, and how to find the cause.",
            "%(n)d hits were stale. The log of the site says which, and how to find the cause.",
            stale,
        )
        return Verdict("bad", _("No."), text % {"n": stale})
    if failed := sums.failed:
        text = ngettext(
            "%(n)d target could not be invalidated %(within)s, and may be stale; see the log.",
            "%(n)d targets could not be invalidated %(within)s, and may be stale; see the log.",
            failed,
        )
        return Verdict("bad", _("Not all of it."), text % {"n": failed, "within": sums.within})
    if waiting:
        text = ngettext(
            "%(n)d invalidation waits in the outbox. If that does not fall, nobody drains it.",
            "%(n)d invalidations wait in the outbox. If that does not fall, nobody drains it.",
            waiting,
        )
        return Verdict("warn", _("Nearly."), text % {"n": waiting})
    if not sums.hits + sums.misses:
        text = _("The cache answers, and nothing waits; but nothing was read %(within)s.")
        return Verdict("good", _("Yes."), text % {"within": sums.within})
    return Verdict(
        "good", _("Yes."), _("The cache answers, nothing waits, and nothing has failed.")
    )
