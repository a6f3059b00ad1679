"""The strictest policy that a site could have: nothing but files of its own.

Not for the pages of Django REST framework, which have scripts in them.
"""

from collections.abc import Callable

from django.http import HttpRequest, HttpResponse


class StrictPolicy:
    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        response = self.get_response(request)
        if not request.path.startswith("/api/"):
            response["Content-Security-Policy"] = "default-src 'self'"
        return response
