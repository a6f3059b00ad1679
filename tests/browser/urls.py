"""The admin and the API, with the picture that every browser asks for."""

from django.http import HttpRequest, HttpResponse
from django.urls import include, path

from tests.admin.urls import urlpatterns as admin_urls


def icon(request: HttpRequest) -> HttpResponse:
    return HttpResponse(status=204)


urlpatterns = [
    *admin_urls,
    path("api/system/", include("cache_invalidation.api.urls")),
    path("favicon.ico", icon),
]
