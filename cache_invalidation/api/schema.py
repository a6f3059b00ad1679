"""The endpoints in the OpenAPI schema of drf-spectacular.

Imported where that is an installed app, so that the views need not have it.
"""

from typing import Any, Final

from drf_spectacular.extensions import (
    OpenApiSerializerExtension,
    OpenApiSerializerFieldExtension,
    OpenApiViewExtension,
)
from drf_spectacular.plumbing import resolve_type_hint
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_view,
)
from rest_framework.serializers import ListSerializer

from cache_invalidation.advice.advising import Advice
from cache_invalidation.api import examples
from cache_invalidation.api.access import BodyTooLarge
from cache_invalidation.api.answers import Done, Invalidated, MetricsAnswer, Unavailable, Waiting
from cache_invalidation.api.limits import MAX_BODY
from cache_invalidation.api.serializers import (
    IDEMPOTENCY_KEY,
    InvalidationSerializer,
    MetricsQuery,
    PendingQuery,
    ReasonSerializer,
    RegistryQuery,
)
from cache_invalidation.api.views import ANOTHER, NOT_ENDED, REPLAYED
from cache_invalidation.operations.overview import Overview
from cache_invalidation.tags import MAX_LENGTH

FIELDS: Final = "cache_invalidation.api.fields"


def answer(kind: Any, description: str, **shown: Any) -> OpenApiResponse:
    """Return a response of the form of a `TypedDict`, with examples by name."""
    return OpenApiResponse(
        resolve_type_hint(kind),  # type: ignore[no-untyped-call]
        description,
        [OpenApiExample(name.replace("_", " "), value) for name, value in shown.items()],
    )


def refusal(description: str, detail: str) -> OpenApiResponse:
    """Return a response that says why nothing was done."""
    return answer(dict[str, Any], description, refused={"detail": detail})


REFUSED: Final = {
    400: answer(
        dict[str, Any],
        "What is wrong, by field; nothing was done.",
        bad_input={
            "tags": {"0": ["A tag must not be longer than 250 characters; this one has 251."]}
        },
    ),
    401: refusal("Not logged in.", "Authentication credentials were not provided."),
    403: refusal(
        "Not staff, without the permission, or without the CSRF token that a session needs. Also "
        "if not logged in, where the first authentication of the project is the session.",
        "You do not have permission to perform this action.",
    ),
    406: refusal("No such format.", "Could not satisfy the request Accept header."),
    429: refusal("Too many requests.", "Request was throttled. Expected available in 3 seconds."),
}

NO_COUNTERS: Final = answer(
    Unavailable, "The cache does not answer, and the counters are there.", outage=examples.OUTAGE
)

REFUSED_POST: Final = {
    413: refusal(f"More than {MAX_BODY} bytes.", BodyTooLarge.default_detail),
    415: refusal("Not JSON.", 'Unsupported media type "text/plain" in request.'),
}


def describe(view: str, action: str, responses: dict[int, Any], **said: Any) -> None:
    """Have drf-spectacular take the `view` of this name with what is said of its one action."""
    operation = extend_schema(responses=REFUSED | responses, tags=["cache"], **said)

    class Described(OpenApiViewExtension):  # type: ignore[no-untyped-call]
        target_class = f"cache_invalidation.api.views.{view}"

        def view_replacement(self) -> Any:
            target: Any = self.target_class
            return extend_schema_view(**{action: operation})(type(view, (target,), {}))


describe(
    "MetricsViewSet",
    "retrieve",
    operation_id="cache_metrics",
    summary="The counters of all processes",
    description="Those of the process that answers are added first.",
    parameters=[MetricsQuery],
    responses={
        200: answer(MetricsAnswer, "The counters.", counters=examples.METRICS),
        503: NO_COUNTERS,
    },
)

describe(
    "InvalidationViewSet",
    "create",
    operation_id="cache_invalidate",
    summary="Invalidate now",
    description="By tags, keys and patterns, and by rows and models, as if they had "
    "been saved. It is written into the audit log; a dry run is not.",
    request=InvalidationSerializer,
    examples=[OpenApiExample("a row", examples.REQUEST, request_only=True)],
    parameters=[
        OpenApiParameter(
            "Idempotency-Key",
            {"type": "string", "pattern": f"^{IDEMPOTENCY_KEY}$"},
            OpenApiParameter.HEADER,
            description="Chosen by the client. The same request under the same key is "
            "done once; later ones get the first answer. A dry run takes no notice.",
        ),
        OpenApiParameter(
            REPLAYED,
            bool,
            OpenApiParameter.HEADER,
            description="True if it had been done before, under this key.",
            response=[200, 202, 503],
        ),
    ],
    responses=REFUSED_POST
    | {
        200: answer(
            Invalidated,
            "It is invalid, or would be.",
            done=examples.DONE,
            dry_run=examples.PREVIEW,
        ),
        202: answer(
            Invalidated,
            "The cache does not answer. It is in the outbox, and will be delivered.",
            pending=examples.PENDING,
        ),
        409: refusal("A request with this key has not ended, or was cut short.", NOT_ENDED),
        422: refusal("The key was used for another request.", ANOTHER),
        503: answer(
            Invalidated,
            "It was not invalidated: the cache does not answer, and there is no outbox.",
            failed=examples.FAILED,
        ),
    },
)

describe(
    "ResetViewSet",
    "create",
    operation_id="cache_reset_metrics",
    summary="Set the counters to zero",
    description="What other processes counted and have not flushed yet arrives after "
    "the reset. It is written into the audit log.",
    request=ReasonSerializer,
    examples=[OpenApiExample("why", {"reason": "A load test is over"}, request_only=True)],
    responses=REFUSED_POST
    | {
        200: answer(Done, "They are zero.", done={"result": "done"}),
        503: answer(Unavailable, "The cache does not answer.", outage=examples.OUTAGE),
    },
)

describe(
    "RegistryViewSet",
    "retrieve",
    operation_id="cache_registry",
    summary="What a write to each model makes stale",
    description="Watched models with their rules, cached functions, domain events, signals.",
    parameters=[RegistryQuery],
    responses={200: answer(Overview, "What is registered.", registry=examples.REGISTRY)},
)

describe(
    "AdviceViewSet",
    "retrieve",
    operation_id="cache_advice",
    summary="What to change",
    description="Findings from what was counted since the last reset: evidence, what to write, and "
    "the hit rate and the seconds to expect. What saves most comes first.",
    responses={
        200: answer(Advice, "The findings; none if all is well.", advice=examples.ADVICE),
        503: NO_COUNTERS,
    },
)

describe(
    "PendingViewSet",
    "list",
    operation_id="cache_pending",
    summary="The outbox",
    description="Invalidations that wait for the cache to answer, of all databases, "
    "one database after the other, the oldest first.",
    parameters=[PendingQuery],
    responses={200: answer(Waiting, "A page of the outbox.", row=examples.WAITING)},
)


class StrictSchema(OpenApiSerializerExtension):  # type: ignore[no-untyped-call]
    target_class = f"{FIELDS}.StrictSerializer"
    match_subclasses = True

    def map_serializer(self, auto_schema: Any, direction: Any) -> Any:
        found = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        fields: dict[str, Any] = self.target.fields
        for name, field in fields.items():
            if isinstance(field, ListSerializer):
                found["properties"][name]["maxItems"] = field.max_length  # type: ignore[attr-defined]
        return found | {"additionalProperties": False}

    def get_name(self, auto_schema: Any, direction: Any) -> str:
        return f"Cache{type(self.target).__name__.removesuffix('Serializer')}"


class KeySchema(OpenApiSerializerFieldExtension):  # type: ignore[no-untyped-call]
    target_class = f"{FIELDS}.Key"

    def map_serializer_field(self, auto_schema: Any, direction: Any) -> Any:
        text = {"type": "string", "minLength": 1, "maxLength": MAX_LENGTH}
        part = [{"type": "integer"}, text]
        return {"oneOf": [*part, {"type": "array", "items": {"oneOf": part}}]}
