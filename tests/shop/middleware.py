"""What sites have between the server and their views."""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse
from django.utils import timezone

GetResponse = Callable[[HttpRequest], HttpResponse]

PLAIN = "X-Plain"


def uncached(get_response: GetResponse) -> GetResponse:
    """Serve the same pages without a cache to who asks for that with a header."""

    def middleware(request: HttpRequest) -> HttpResponse:
        if request.META.pop("HTTP_X_PLAIN", None):
            request.urlconf = "tests.shop.plain_urls"
        return get_response(request)

    return middleware


def in_time_zone(get_response: GetResponse) -> GetResponse:
    """Show times as in the zone of a cookie."""

    def middleware(request: HttpRequest) -> HttpResponse:
        with timezone.override(request.COOKIES.get("zone", "UTC")):
            return get_response(request)

    return middleware


def timed(get_response: GetResponse) -> GetResponse:
    """Say what the request took, and something that belongs to the page."""

    def middleware(request: HttpRequest) -> HttpResponse:
        response = get_response(request)
        response.headers["Server-Timing"] = f"total;dur={len(request.META['QUERY_STRING'])}"
        response.headers["Content-Security-Policy"] = "script-src 'self'"
        return response

    return middleware
