from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/system/", include("cache_invalidation.api.urls")),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("", include("example_project.airports.urls")),
]
