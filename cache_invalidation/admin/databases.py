"""Whose outbox a page is about: rows of several databases cannot be in one list."""

from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import parse_qs

from django.contrib import admin
from django.contrib.admin.views.main import ChangeList
from django.db import DEFAULT_DB_ALIAS, connections, router
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from cache_invalidation.conf import settings
from cache_invalidation.models import PendingInvalidation, waiting_on

USING: Final = "using"  # The parameter that names the database.


def database_of(request: HttpRequest) -> str:
    """Return the alias of the database that the request is about: it names one, or the first.

    Whether it has an outbox, and answers, is another question: where it does not, no other may
    take its place, since the rows that somebody has selected have the same keys there.
    """
    known = _candidates()
    # A page that was reached from the list has the filters of the list in one parameter.
    kept = parse_qs(request.GET.get("_changelist_filters", "")).get(USING, [""])[0]
    named = request.GET.get(USING) or kept
    return named if named in known else (known or [DEFAULT_DB_ALIAS])[0]


def outboxes() -> Iterator[tuple[str, str]]:
    """Yield the alias of each database with an outbox, and how many wait there, as text."""
    for alias, number in waiting_on(_candidates()):
        yield alias, _("does not answer") if number is None else str(number)


def why_unseen(alias: str) -> str:
    """Return why the outbox on a database cannot be shown; an empty text if it can."""
    found = dict(waiting_on([alias]))
    if found.get(alias) is not None:
        return ""
    if alias in found:
        text = _("The database “%(database)s” does not answer; the log of the site says more.")
    elif settings.ON_STORE_FAILURE == "ignore":
        text = _(
            "There is no outbox on the database “%(database)s”. With ON_STORE_FAILURE = "
            "“ignore” none is needed: nothing ever waits."
        )
    else:
        text = _("There is no outbox on the database “%(database)s”: the command migrate makes it.")
    return text % {"database": alias}


def _candidates() -> list[str]:
    """Return the aliases of the databases that may have an outbox; nobody asks them."""
    return [a for a in connections if router.allow_migrate_model(a, PendingInvalidation)]


class DatabaseFilter(admin.SimpleListFilter):
    """One database at a time."""

    title = gettext_lazy("database")
    parameter_name = USING

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(alias, f"{alias} ({waiting})") for alias, waiting in outboxes()]

    def has_output(self) -> bool:
        return len(self.lookup_choices) > 1

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        return queryset.using(database_of(request))

    def choices(self, changelist: ChangeList) -> Iterator[Any]:
        chosen = changelist.root_queryset.db
        for alias, label in self.lookup_choices:
            yield {
                "selected": alias == chosen,
                "query_string": changelist.get_query_string({USING: alias}),
                "display": label,
            }
