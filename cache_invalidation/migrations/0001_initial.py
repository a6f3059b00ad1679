"""The outbox and the audit log."""

import django.db.models.functions
import django.utils.timezone
from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True

    dependencies = []

    operations = [
        migrations.CreateModel(
            name="PendingInvalidation",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "targets",
                    models.JSONField(
                        help_text="Lists of tags, keys, patterns and entries, by kind.",
                        verbose_name="targets",
                    ),
                ),
                (
                    "entities",
                    models.JSONField(
                        default=dict,
                        help_text="How many things of each entity type changed.",
                        verbose_name="entities",
                    ),
                ),
                (
                    "entity_type",
                    models.CharField(blank=True, max_length=250, verbose_name="entity type"),
                ),
                ("cause", models.CharField(blank=True, max_length=250, verbose_name="cause")),
                (
                    "created",
                    models.DateTimeField(default=django.utils.timezone.now, verbose_name="created"),
                ),
                ("attempts", models.PositiveIntegerField(default=0, verbose_name="attempts")),
                ("last_error", models.TextField(blank=True, verbose_name="last error")),
                (
                    "next_attempt",
                    models.DateTimeField(
                        db_default=django.db.models.functions.Now(),
                        db_index=True,
                        verbose_name="next attempt",
                    ),
                ),
            ],
            options={
                "verbose_name": "pending invalidation",
                "verbose_name_plural": "pending invalidations",
                "ordering": ["pk"],
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="AuditEntry",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "when",
                    models.DateTimeField(
                        db_index=True, default=django.utils.timezone.now, verbose_name="when"
                    ),
                ),
                (
                    "action",
                    models.CharField(
                        choices=[
                            ("invalidate", "Invalidate"),
                            ("reset-metrics", "Reset the metrics"),
                            ("retry", "Retry pending invalidations"),
                            ("discard", "Delete pending invalidations"),
                        ],
                        max_length=20,
                        verbose_name="action",
                    ),
                ),
                (
                    "user",
                    models.CharField(
                        help_text="Of the site; of the system, for a command.",
                        max_length=250,
                        verbose_name="user",
                    ),
                ),
                ("user_key", models.CharField(blank=True, max_length=64, verbose_name="user key")),
                (
                    "origin",
                    models.CharField(
                        choices=[("admin", "Admin"), ("rest", "REST"), ("command", "Command")],
                        max_length=10,
                        verbose_name="origin",
                    ),
                ),
                (
                    "address",
                    models.CharField(
                        blank=True,
                        help_text="Of the client, or the host.",
                        max_length=250,
                        verbose_name="address",
                    ),
                ),
                (
                    "targets",
                    models.JSONField(
                        default=dict,
                        help_text="Lists of tags, keys and patterns, by kind.",
                        verbose_name="targets",
                    ),
                ),
                ("reason", models.TextField(blank=True, verbose_name="reason")),
                (
                    "result",
                    models.CharField(
                        choices=[
                            ("started", "Started"),
                            ("done", "Done"),
                            ("partly", "Done, but for patterns"),
                            ("pending", "Waits in the outbox"),
                            ("failed", "Failed"),
                        ],
                        default="started",
                        max_length=10,
                        verbose_name="result",
                    ),
                ),
                ("detail", models.JSONField(blank=True, default=dict, verbose_name="detail")),
                (
                    "idempotency_key",
                    models.CharField(
                        blank=True,
                        editable=False,
                        max_length=128,
                        null=True,
                        verbose_name="idempotency key",
                    ),
                ),
            ],
            options={
                "verbose_name": "audit entry",
                "verbose_name_plural": "audit log",
                "ordering": ["-pk"],
                "permissions": [
                    ("view_metrics", "Can see cache metrics, rules, the outbox and the audit log"),
                    ("invalidate_cache", "Can invalidate the cache by hand"),
                    ("reset_metrics", "Can reset the cache metrics"),
                ],
                "default_permissions": (),
                "constraints": [
                    models.UniqueConstraint(
                        fields=("user_key", "idempotency_key"),
                        name="cache_invalidation_idempotency",
                    )
                ],
            },
        ),
    ]
