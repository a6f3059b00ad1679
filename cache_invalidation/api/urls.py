"""``path("api/system/", include("cache_invalidation.api.urls"))``"""

from collections.abc import Iterator
from importlib import import_module
from typing import Any

from django.apps import apps
from django.db import connections, transaction
from django.urls import URLPattern, path

from cache_invalidation.api import views

app_name = "cache_invalidation"

if apps.is_installed("drf_spectacular"):
    # Tells it about the views; of no use to anybody else.
    import_module("cache_invalidation.api.schema")


def _endpoint(
    route: str, view_set: type[views.OperatorViewSet], actions: dict[str, Any], name: str
) -> Iterator[URLPattern]:
    """Serve `route` with and without a slash at the end; only one is in the schema."""
    canonical = view_set.as_view(actions)
    alias = view_set.as_view(actions, schema=None)
    for using in connections:
        # What operators do happens at once, and is not undone by an error that comes after it.
        canonical = transaction.non_atomic_requests(using)(canonical)
        alias = transaction.non_atomic_requests(using)(alias)
    yield path(route, canonical, name=name)
    yield path(f"{route}/", alias)


urlpatterns = [
    *_endpoint("metrics/cache", views.MetricsViewSet, {"get": "retrieve"}, "metrics"),
    *_endpoint("cache/invalidate", views.InvalidationViewSet, {"post": "create"}, "invalidate"),
    *_endpoint("cache/reset-metrics", views.ResetViewSet, {"post": "create"}, "reset-metrics"),
    *_endpoint("cache/registry", views.RegistryViewSet, {"get": "retrieve"}, "registry"),
    *_endpoint("cache/pending", views.PendingViewSet, {"get": "list"}, "pending"),
]
