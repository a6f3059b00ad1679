"""The shop, with each page cached in one line."""

from collections.abc import Callable
from typing import Any

from django.urls import path

from cache_invalidation.views import cache_page
from tests.shop import views

FUNCTIONS = (
    *("products", "links", "here", "prices", "staff", "edit", "account", "experiment", "agent"),
    *("greeting", "form", "notices", "notify", "cart", "remember", "where", "stream"),
    *("missing", "late", "json", "awaited"),
)


def pages(wrapped: Callable[[Any], Any]) -> list[Any]:
    """Return the addresses of all pages, with each view `wrapped`."""
    return [
        *[path(f"{name}/", wrapped(getattr(views, name)), name=name) for name in FUNCTIONS],
        path("products/<int:pk>/", wrapped(views.product), name="product"),
        path("categories/", wrapped(views.Categories.as_view()), name="categories"),
        path("categories/<int:pk>/", wrapped(views.CategoryPage.as_view()), name="category"),
        path("asked/<str:what>/", wrapped(views.Asked.as_view()), name="asked"),
        path("told/<slug:what>/", wrapped(views.Asked.as_view(title="told")), name="told"),
    ]


urlpatterns = pages(cache_page(300))
