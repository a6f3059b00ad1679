"""The outbox, and the log of what operators did by hand."""

import logging
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.db import connections, models, router
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models.functions import Now
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.translation import gettext_lazy as _

logger = logging.getLogger("cache_invalidation")


def _spelled(when: datetime) -> str:
    """Return `when` as the pages of the admin show it, in the time zone of whoever looks."""
    local = timezone.localtime(when) if timezone.is_aware(when) else when
    return date_format(local, "DATETIME_FORMAT")


class PendingInvalidation(models.Model):
    """What one transaction made stale while the cache could not be told.

    Written in that transaction, so that it is there if and only if the write is; deleted once the
    cache has been told.
    """

    targets = models.JSONField(
        _("targets"), help_text=_("Lists of tags, keys, patterns and entries, by kind.")
    )
    entities = models.JSONField(
        _("entities"), default=dict, help_text=_("How many things of each entity type changed.")
    )
    entity_type = models.CharField(_("entity type"), max_length=250, blank=True)
    cause = models.CharField(_("cause"), max_length=250, blank=True)
    created = models.DateTimeField(_("created"), default=timezone.now)
    attempts = models.PositiveIntegerField(_("attempts"), default=0)
    last_error = models.TextField(_("last error"), blank=True)
    # By the clock of the database, which those who write and those who drain share.
    next_attempt = models.DateTimeField(_("next attempt"), db_default=Now(), db_index=True)

    class Meta:
        ordering = ["pk"]
        # Those of `AuditEntry` are for everything.
        default_permissions = ()
        verbose_name = _("pending invalidation")
        verbose_name_plural = _("pending invalidations")

    def __str__(self) -> str:
        what = f"{self.entity_type or 'manual'} ({self.cause or 'manual'})"
        return f"{what} of {_spelled(self.created)}"


class AuditEntry(models.Model):
    """One thing that an operator did by hand: who, when, from where, what, why, with what result.

    Written before it is done, so that whatever has happened is here; never changed afterwards but
    for its result.
    """

    class Action(models.TextChoices):
        INVALIDATE = "invalidate", _("Invalidate")
        RESET_METRICS = "reset-metrics", _("Reset the metrics")
        RETRY = "retry", _("Retry pending invalidations")
        DISCARD = "discard", _("Delete pending invalidations")

    class Origin(models.TextChoices):
        ADMIN = "admin", _("Admin")
        REST = "rest", _("REST")
        COMMAND = "command", _("Command")

    class Result(models.TextChoices):
        STARTED = "started", _("Started")
        DONE = "done", _("Done")
        PARTLY = "partly", _("Done, but for patterns")
        PENDING = "pending", _("Waits in the outbox")
        FAILED = "failed", _("Failed")

    when = models.DateTimeField(_("when"), default=timezone.now, db_index=True)
    action = models.CharField(_("action"), max_length=20, choices=Action)
    user = models.CharField(
        _("user"), max_length=250, help_text=_("Of the site; of the system, for a command.")
    )
    # Not a foreign key: the entry outlives the user, and a project need not have users.
    user_key = models.CharField(_("user key"), max_length=64, blank=True)
    origin = models.CharField(_("origin"), max_length=10, choices=Origin)
    address = models.CharField(
        _("address"), max_length=250, blank=True, help_text=_("Of the client, or the host.")
    )
    targets = models.JSONField(
        _("targets"), default=dict, help_text=_("Lists of tags, keys and patterns, by kind.")
    )
    reason = models.TextField(_("reason"), blank=True)
    result = models.CharField(_("result"), max_length=10, choices=Result, default=Result.STARTED)
    detail = models.JSONField(_("detail"), default=dict, blank=True)
    # What a client sends so that a request that it repeats is not acted upon twice.
    idempotency_key = models.CharField(  # noqa: DJ001 - only what is there has to be unique
        _("idempotency key"), max_length=128, null=True, blank=True, editable=False
    )

    class Meta:
        ordering = ["-pk"]
        default_permissions = ()
        permissions = [
            ("view_metrics", _("Can see cache metrics, rules, the outbox and the audit log")),
            ("invalidate_cache", _("Can invalidate the cache by hand")),
            ("reset_metrics", _("Can reset the cache metrics")),
        ]
        constraints = [
            models.UniqueConstraint(
                fields=["user_key", "idempotency_key"], name="cache_invalidation_idempotency"
            )
        ]
        verbose_name = _("audit entry")
        verbose_name_plural = _("audit log")

    def __str__(self) -> str:
        return f"{self.get_action_display()} ({self.user}, {_spelled(self.when)})"


_migrated: set[tuple[str, Any]] = set()  # Alias and name of the databases that have the table.


def has_outbox(connection: BaseDatabaseWrapper) -> bool:
    """Whether the table is in the database of `connection`; asked until it is.

    A replica has none: what it shows is that of its primary. PostgreSQL says whether it may be
    written; of others the router has to know, by its `allow_migrate`.
    Raises `django.db.DatabaseError` if the database does not answer.
    """
    alias, database = connection.alias, connection.settings_dict["NAME"]
    if not router.allow_migrate_model(alias, PendingInvalidation):
        return False
    if (alias, database) not in _migrated:
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                cursor.execute("SHOW transaction_read_only")
                if cursor.fetchone()[0] == "on":
                    return False
            tables = connection.introspection.table_names(cursor)
        if PendingInvalidation._meta.db_table not in tables:
            return False
        _migrated.add((alias, database))
    return True


def backlog() -> int:
    """Return how many invalidations wait, on all databases that can be asked."""
    return sum(number or 0 for _, number in waiting_on(connections))


def waiting_on(aliases: Iterable[str]) -> Iterator[tuple[str, int | None]]:
    """Yield each of these databases that has an outbox, with the number of its rows.

    That is None if the database cannot be asked, which is logged.
    """
    for alias in aliases:
        number = None
        try:
            if not has_outbox(connections[alias]):
                continue
            number = PendingInvalidation.objects.using(alias).count()
        except Exception as error:  # noqa: BLE001
            # Whoever wants to know has other things to know as well; and a test may forbid it.
            logger.warning("The outbox on %r cannot be read (%r).", alias, error)
        yield alias, number
