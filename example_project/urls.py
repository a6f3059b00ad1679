from django.contrib import admin
from django.urls import include, path
from drf_spectacular.views import SpectacularAPIView
from rest_framework.routers import SimpleRouter

from example_project.airports.api import Airports

router = SimpleRouter()
router.register("airports", Airports)

urlpatterns = [
    path("admin/", admin.site.urls),
    path("api/system/", include("cache_invalidation.api.urls")),
    path("api/schema", SpectacularAPIView.as_view(), name="schema"),
    path("api/", include(router.urls)),
    path("", include("example_project.airports.urls")),
]
