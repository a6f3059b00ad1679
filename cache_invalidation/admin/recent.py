"""Times, and the last invalidations, as the pages show them."""

from datetime import datetime
from typing import Any

from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext as _

from cache_invalidation.admin.numbers import duration
from cache_invalidation.metrics.shapes import Delivered, Metrics


def local(text: str) -> datetime:
    """Return the time in `text` (ISO 8601), in the time zone of whoever looks."""
    return datetime.fromisoformat(text).astimezone(timezone.get_current_timezone())


def spelled(text: str | None) -> str:
    """Return the same in words; an empty text for None."""
    return date_format(local(text), "DATETIME_FORMAT") if text else ""


def stamped(time: datetime) -> str:
    """Return the time to the second, as all tables and logs do."""
    return date_format(timezone.localtime(time) if timezone.is_aware(time) else time, "Y-m-d H:i:s")


def since_words(metrics: Metrics) -> str:
    """Return since when it is counted, as the end of a sentence."""
    time = spelled(metrics["since"])
    return _("since %(time)s") % {"time": time} if time else _("nothing was counted yet")


def shown(entry: Delivered) -> dict[str, Any]:
    # Entries from before there were sizes are taken for complete.
    sizes = entry.get("sizes", {})
    return {
        **entry,
        "when": local(entry["when"]),
        "took": duration(entry["latency"]),
        "named": [
            (kind, names, max(0, sizes.get(kind, 0) - len(names)))
            for kind, names in entry["targets"].items()
        ],
    }
