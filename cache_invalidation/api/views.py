"""The six endpoints. See docs/reference/rest.md."""

from typing import Any, ClassVar, Final

from django.db import connections
from django.utils.cache import add_never_cache_headers
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import Serializer
from rest_framework.viewsets import GenericViewSet

from cache_invalidation.advice.advising import read_advice
from cache_invalidation.api.access import (
    READ,
    WRITE,
    BoundedJSONParser,
    IsPermittedStaff,
    OperatorThrottle,
)
from cache_invalidation.api.answers import Done, invalidated, unavailable, waiting
from cache_invalidation.api.fields import QuerySerializer
from cache_invalidation.api.pagination import Outboxes, OutboxPagination
from cache_invalidation.api.serializers import (
    InvalidationSerializer,
    MetricsQuery,
    PendingQuery,
    ReasonSerializer,
    RegistryQuery,
    check_idempotency_key,
)
from cache_invalidation.exceptions import StoreUnavailable
from cache_invalidation.metrics.report import read_metrics, read_minutes, read_recent
from cache_invalidation.models import AuditEntry, PendingInvalidation
from cache_invalidation.operations.actions import invalidate, outcome_of, preview, reset
from cache_invalidation.operations.audit import AlreadyDone, Operator
from cache_invalidation.operations.overview import overview

REPLAYED: Final = "Idempotent-Replayed"  # a header, "true" if nothing was done again
ANOTHER: Final = "Another request was made with this Idempotency-Key."
NOT_ENDED: Final = "The request with this Idempotency-Key has not ended, or was cut short."


class OperatorViewSet(GenericViewSet[Any]):
    """For staff with the `permission`; how they log in is up to the project."""

    permission: ClassVar[str] = "view_metrics"
    permission_classes = [IsPermittedStaff]
    throttle_classes = [OperatorThrottle]
    throttle_scope = READ
    parser_classes = [BoundedJSONParser]
    serializer_class: Any = Serializer
    # What a project has set for its own API would change this one, which is documented.
    filter_backends = []
    pagination_class: Any = None
    versioning_class = None

    def finalize_response(self, *args: Any, **kwargs: Any) -> Response:
        response = super().finalize_response(*args, **kwargs)
        # A project may cache whole pages, and these are about now.
        add_never_cache_headers(response)
        return response

    @property
    def operator(self) -> Operator:
        """Who asks, for the audit log."""
        return Operator(
            name=self.request.user.get_username(),
            key=str(self.request.user.pk),
            origin=AuditEntry.Origin.REST,
            # Other headers are what the client says.
            address=self.request.META.get("REMOTE_ADDR", ""),
        )

    def query(self, kind: type[Serializer[Any]]) -> dict[str, Any]:
        """Return the query string as `kind` understands it, which raises `ValidationError`."""
        # A form would leave out what is empty, and `?minutes=` is no number.
        return _validated(kind(data=self.request.query_params.dict()))

    def body(self) -> dict[str, Any]:
        """Return the body as the serializer understands it, which raises `ValidationError`."""
        self.query(QuerySerializer)  # ?dry_run=true must not be a real run.
        return _validated(self.get_serializer(data=self.request.data))


def _validated(serializer: Any) -> dict[str, Any]:
    serializer.is_valid(raise_exception=True)
    found: dict[str, Any] = serializer.validated_data
    return found


class MetricsViewSet(OperatorViewSet):
    """The counters of all processes."""

    def retrieve(self, request: Request) -> Response:
        wanted = self.query(MetricsQuery)
        try:
            answer: dict[str, Any] = {**read_metrics()}
            if wanted["minutes"]:
                answer["minutes"] = read_minutes(wanted["minutes"])
            if wanted["recent"]:
                answer["recent"] = read_recent(wanted["recent"])
        except StoreUnavailable as error:
            return unavailable(error)
        return Response(answer)


class InvalidationViewSet(OperatorViewSet):
    """Invalidate by tags, keys, patterns, rows and models, now."""

    permission = "invalidate_cache"
    throttle_scope = WRITE
    serializer_class = InvalidationSerializer

    def create(self, request: Request) -> Response:
        key = check_idempotency_key(request.headers)
        wanted = self.body()
        if wanted.get("dry_run"):
            return invalidated(preview(wanted["request"]), dry_run=True)
        try:
            outcome = invalidate(
                wanted["request"],
                self.operator,
                reason=wanted.get("reason", ""),
                idempotency_key=key,
            )
        except AlreadyDone as before:
            return _replayed(before)
        return invalidated(outcome)


def _replayed(before: AlreadyDone) -> Response:
    """Answer as before; see draft-ietf-httpapi-idempotency-key-header for the other statuses."""
    if not before.is_same:
        return Response({"detail": ANOTHER}, status=status.HTTP_422_UNPROCESSABLE_ENTITY)
    if before.entry.result == AuditEntry.Result.STARTED:
        return Response({"detail": NOT_ENDED}, status=status.HTTP_409_CONFLICT)
    response = invalidated(outcome_of(before.entry))
    response[REPLAYED] = "true"
    return response


class ResetViewSet(OperatorViewSet):
    """Set the counters to zero."""

    permission = "reset_metrics"
    throttle_scope = WRITE
    serializer_class = ReasonSerializer

    def create(self, request: Request) -> Response:
        reason = self.body().get("reason", "")
        try:
            reset(self.operator, reason=reason)
        except StoreUnavailable as error:
            return unavailable(error)
        return Response(Done(result="done"))


class RegistryViewSet(OperatorViewSet):
    """Models, rules, events and wired signals."""

    def retrieve(self, request: Request) -> Response:
        return Response(overview(**self.query(RegistryQuery)))


class AdviceViewSet(OperatorViewSet):
    """What to change, by what was counted."""

    def retrieve(self, request: Request) -> Response:
        self.query(QuerySerializer)
        try:
            return Response(read_advice())
        except StoreUnavailable as error:
            return unavailable(error)


class PendingViewSet(OperatorViewSet):
    """The outbox of each database, the oldest rows first."""

    pagination_class = OutboxPagination
    queryset = PendingInvalidation.objects.none()  # The browsable API asks for one.

    def list(self, request: Request) -> Response:
        query = self.query(PendingQuery)
        databases = [query["database"]] if "database" in query else list(connections)
        rows: Any = self.paginate_queryset(Outboxes(databases))  # type: ignore[arg-type]
        return self.get_paginated_response(waiting(rows))
