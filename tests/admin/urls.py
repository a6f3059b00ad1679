"""The admin of Django, and one that a project has made for itself."""

from django.contrib import admin
from django.urls import path

from cache_invalidation.admin import register

own_site = admin.AdminSite(name="own")
register(own_site)

urlpatterns = [
    path("admin/", admin.site.urls),
    path("own/", own_site.urls),
]
