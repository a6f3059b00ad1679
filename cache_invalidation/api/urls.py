"""``path("api/system/", include("cache_invalidation.api.urls"))``"""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from django.apps import apps
from django.urls import URLPattern, path

from cache_invalidation.api import views
from cache_invalidation.operations.actions import at_once

app_name = "cache_invalidation"

if apps.is_installed("drf_spectacular"):
    # Tells it about the views; of no use to anybody else.
    import_module("cache_invalidation.api.schema")


def _endpoint(
    route: str, view_set: type[views.OperatorViewSet], actions: dict[str, Any], name: str
) -> Iterator[URLPattern]:
    """Serve `route` with and without a slash at the end; only one is in the schema."""
    yield path(route, at_once(view_set.as_view(actions)), name=name)
    yield path(f"{route}/", at_once(view_set.as_view(actions, schema=None)))


urlpatterns = [
    *_endpoint("metrics/cache", views.MetricsViewSet, {"get": "retrieve"}, "metrics"),
    *_endpoint("cache/invalidate", views.InvalidationViewSet, {"post": "create"}, "invalidate"),
    *_endpoint("cache/reset-metrics", views.ResetViewSet, {"post": "create"}, "reset-metrics"),
    *_endpoint("cache/registry", views.RegistryViewSet, {"get": "retrieve"}, "registry"),
    *_endpoint("cache/advice", views.AdviceViewSet, {"get": "retrieve"}, "advice"),
    *_endpoint("cache/pending", views.PendingViewSet, {"get": "list"}, "pending"),
]
