"""What clients send."""

import re
from collections.abc import Mapping
from typing import Any

from django.db import connections
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.serializers import ListSerializer

from cache_invalidation.api.fields import (
    CachedNames,
    Flag,
    Key,
    Names,
    QuerySerializer,
    StrictSerializer,
    Text,
)
from cache_invalidation.api.limits import (
    MAX_ENTITIES,
    MAX_IDEMPOTENCY_KEY,
    MAX_PAGE,
    MAX_REASON,
    PAGE,
)
from cache_invalidation.explain.known import KINDS
from cache_invalidation.operations.actions import Request
from cache_invalidation.operations.entities import Entity, find_watched_model, parse_key
from cache_invalidation.operations.names import KnownNames, Named
from cache_invalidation.stores.messages import MINUTES, RECENT
from cache_invalidation.tags import MAX_LENGTH

IDEMPOTENCY_KEY = f"[!-~]{{1,{MAX_IDEMPOTENCY_KEY}}}"  # printable, without spaces


class EntitySerializer(StrictSerializer):
    """A row, or every row of a model where there is no `id`."""

    type = Text(
        max_length=MAX_LENGTH, help_text="The label of a model, or the entity type of its rule."
    )
    id = Key(required=False, help_text="The primary key; a list of values if it is composite.")
    database = Text(required=False, help_text="The one that the row is in; an alias.")

    def validate(self, attrs: dict[str, Any]) -> Any:
        try:
            model = find_watched_model(attrs["type"])
        except ValueError as error:
            raise ValidationError({"type": [str(error)]}) from None
        using = attrs.get("database")
        if using is not None and using not in connections:
            raise ValidationError({"database": [f"There is no database {using!r}."]})
        if "id" not in attrs:
            return Entity(model=model, using=using)
        key = attrs["id"]
        values = key if isinstance(key, list) and len(model._meta.pk_fields) > 1 else [key]
        try:
            return Entity(model=model, pk=parse_key(model, values), using=using)
        except ValueError as error:
            raise ValidationError({"id": [str(error)]}) from None


class ReasonSerializer(StrictSerializer):
    """Why, for the audit log."""

    reason = Text(required=False, allow_blank=True, max_length=MAX_REASON)


class InvalidationSerializer(ReasonSerializer):
    """What is to be invalidated: at least one name or entity."""

    tags = Names("tag")
    keys = Names("key")
    patterns = Names("pattern")
    entities = ListSerializer[Any](
        child=EntitySerializer(), required=False, max_length=MAX_ENTITIES
    )
    functions = CachedNames("function")
    pages = CachedNames("page")
    blocks = CachedNames("block")
    everything = Flag(help_text="Needed for the root tag and for patterns that match every key.")
    dry_run = Flag(help_text="Only say what would go.")

    field_order = [
        *("tags", "keys", "patterns", "entities", "functions", "pages", "blocks"),
        *("everything", "dry_run", "reason"),
    ]

    def get_fields(self) -> dict[str, Any]:
        fields = super().get_fields()
        return {name: fields[name] for name in self.field_order}

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        named = {name: attrs.get(name, []) for name in ("tags", "keys", "patterns", "entities")}
        try:
            request = Request(**named, names=_names(attrs), everything=True)
        except ValueError as error:  # Other names have been looked at.
            raise ValidationError({"patterns": [str(error)]}) from None
        if not request:
            raise ValidationError(
                "Name at least one tag, key, pattern, entity, function, page or block."
            )
        if request.emptied and not attrs.get("everything"):
            drops = " and ".join(request.emptied)
            raise ValidationError({"everything": [f"This drops {drops}; send true for that."]})
        return attrs | {"request": request}


def _names(attrs: Mapping[str, Any]) -> list[Named]:
    """Return the functions, pages and blocks that are named; raise `ValidationError` by field."""
    wanted = {kind: attrs.get(f"{kind}s", []) for kind in KINDS}
    if not any(wanted.values()):
        return []
    known, found = KnownNames(), []
    errors: dict[str, Any] = {}
    for kind, names in wanted.items():
        for index, name in enumerate(names):
            try:
                found += known.find(name, [kind])
            except ValueError as error:
                errors.setdefault(f"{kind}s", {})[index] = [str(error)]
    if errors:
        raise ValidationError(errors)
    return found


class MetricsQuery(QuerySerializer):
    """The query of `metrics/cache`."""

    minutes = serializers.IntegerField(
        default=0,
        min_value=0,
        max_value=MINUTES,
        help_text="Add the counters of each of the last minutes.",
    )
    recent = serializers.IntegerField(
        default=0,
        min_value=0,
        max_value=RECENT,
        help_text="Add so many of the last invalidations.",
    )


class RegistryQuery(QuerySerializer):
    """The query of `cache/registry`."""

    model = serializers.CharField(
        required=False, help_text="Only what a write to this model does; its label."
    )
    search = serializers.CharField(
        required=False,
        allow_blank=True,
        help_text="Only what has this text in one of its names, in any case.",
    )

    def validate_model(self, value: str) -> Any:
        try:
            return find_watched_model(value)
        except ValueError as error:
            raise ValidationError(str(error)) from None


class PendingQuery(QuerySerializer):
    """The query of `cache/pending`."""

    limit = serializers.IntegerField(default=PAGE, min_value=1, max_value=MAX_PAGE)
    offset = serializers.IntegerField(default=0, min_value=0)
    database = serializers.CharField(
        required=False, help_text="Only the outbox of this one; an alias in `DATABASES`."
    )

    def validate_database(self, value: str) -> str:
        if value not in connections:
            raise ValidationError(f"There is no database {value!r}.")
        return value


def check_idempotency_key(headers: Mapping[str, str]) -> str | None:
    """Return the header ``Idempotency-Key``; raise `ValidationError` if it cannot be one."""
    key = headers.get("Idempotency-Key")
    if key is not None and not re.fullmatch(IDEMPOTENCY_KEY, key):
        raise ValidationError(
            {
                "Idempotency-Key": [
                    f"Not 1 to {MAX_IDEMPOTENCY_KEY} printable ASCII characters without spaces."
                ]
            }
        )
    return key
