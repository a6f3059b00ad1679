"""The shop, with each page cached in one line, and without."""

from collections.abc import Callable
from typing import Any

from django.urls import include, path

from cache_invalidation.views import cache_page
from tests.shop import views

FUNCTIONS = (
    *("products", "links", "prices", "staff", "edit", "account", "experiment", "agent"),
    *("greeting", "form", "notices", "notify", "cart", "remember", "where", "stream"),
    *("missing", "late", "json", "awaited"),
)


def _pages(wrapped: Callable[[Any], Any]) -> list[Any]:
    return [
        *[path(f"{name}/", wrapped(getattr(views, name)), name=name) for name in FUNCTIONS],
        path("products/<int:pk>/", wrapped(views.product), name="product"),
        path("categories/", wrapped(views.Categories.as_view()), name="categories"),
        path("categories/<int:pk>/", wrapped(views.CategoryPage.as_view()), name="category"),
        path("asked/<slug:what>/", wrapped(views.Asked.as_view()), name="asked"),
        path("told/<slug:what>/", wrapped(views.Asked.as_view(title="told")), name="told"),
    ]


urlpatterns = [
    path("", include(_pages(cache_page(300)))),
    path("plain/", include(_pages(lambda view: view))),
]
