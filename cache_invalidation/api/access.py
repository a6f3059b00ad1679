"""Who may ask, how often, and with how long a body."""

import logging
from io import BytesIO
from typing import IO, Any, Final

from rest_framework import status
from rest_framework.exceptions import APIException, ParseError
from rest_framework.parsers import JSONParser
from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.settings import api_settings
from rest_framework.throttling import ScopedRateThrottle, SimpleRateThrottle
from rest_framework.views import APIView

from cache_invalidation.api.limits import MAX_BODY

logger = logging.getLogger("cache_invalidation")

# Keys of REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]; without a rate there is no limit.
READ: Final = "cache_invalidation_read"
WRITE: Final = "cache_invalidation_write"


class IsPermittedStaff(BasePermission):
    """For staff with the `permission` that the view names."""

    def has_permission(self, request: Request, view: Any) -> bool:
        user: Any = request.user
        return bool(
            getattr(user, "is_active", False)
            and getattr(user, "is_staff", False)
            and user.has_perm(f"cache_invalidation.{view.permission}")
        )


class OperatorThrottle(ScopedRateThrottle):
    """Limits what one user does to the rate that the project has set for the scope of the view.

    Counts in the default cache. While that does not answer, which is when operators have the most
    to do, there is no limit.
    """

    def get_rate(self) -> str | None:
        rates: Any = api_settings.DEFAULT_THROTTLE_RATES
        rate: str | None = rates.get(self.scope)
        return rate

    def allow_request(self, request: Request, view: APIView) -> bool:
        self.scope = getattr(view, self.scope_attr)
        self.rate = self.get_rate()
        self.num_requests, self.duration = self.parse_rate(self.rate)
        try:
            return SimpleRateThrottle.allow_request(self, request, view)
        except Exception as error:  # noqa: BLE001 - each cache raises its own
            logger.warning("Requests of operators cannot be counted (%r).", error)
            return True


class BodyTooLarge(APIException):
    """The body is longer than `MAX_BODY`."""

    status_code = status.HTTP_413_REQUEST_ENTITY_TOO_LARGE
    default_detail = f"The body is longer than {MAX_BODY} bytes."
    default_code = "body_too_large"


class BoundedJSONParser(JSONParser):
    """Reads no more than `MAX_BODY` bytes, and no nesting that is too deep to be followed."""

    def parse(
        self,
        stream: IO[Any],
        media_type: str | None = None,
        parser_context: Any = None,
    ) -> dict[str, Any]:
        body = stream.read(MAX_BODY + 1)
        if len(body) > MAX_BODY:
            raise BodyTooLarge
        try:
            return super().parse(BytesIO(body), media_type, parser_context)
        except RecursionError:
            raise ParseError("The JSON is nested too deeply.") from None
