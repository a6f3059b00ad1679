"""Why something was missed, in words."""

from typing import Final, NamedTuple

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _


class Cause(NamedTuple):
    """How a cause of misses is called, and what it means."""

    name: str | Promise
    meaning: str | Promise


#: By the names in the figures.
CAUSES: Final = {
    "new": Cause(_("New"), _("Nobody had asked for it before, as far as that is remembered.")),
    "invalidated": Cause(_("Invalidated"), _("A write dropped it.")),
    "expired": Cause(_("Expired"), _("Its timeout was over.")),
    "evicted": Cause(_("Evicted"), _("The cache threw it out early: it is full, or was emptied.")),
    "by_name": Cause(_("Dropped by name"), _("All of its entries, or this one, were dropped.")),
    "not_stored": Cause(_("Not stored"), _("It had been computed before, and could not be kept.")),
    "unreadable": Cause(_("Unreadable"), _("What was there is from other code, or damaged.")),
    "unknown": Cause(
        _("Unknown"), _("What would tell was overwritten, or the cache knows no notes.")
    ),
}
