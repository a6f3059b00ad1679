"""Admin sites for the items of each database, and the client of a superuser."""

from typing import Any

from django.contrib.admin import AdminSite, ModelAdmin
from django.contrib.auth.models import User
from django.db import connections
from django.test import Client, override_settings
from django.urls import path

from tests.testapp.matrix import Item


class OneDatabase(ModelAdmin):  # type: ignore[type-arg]
    """As Django's documentation says for an admin of another database than the default one."""

    fields = ("code", "name", "number", "topic", "shelf", "box", "labels")

    @property
    def using(self) -> str:
        return self.admin_site.name

    def save_model(self, request: Any, obj: Any, form: Any, change: Any) -> None:
        obj.save(using=self.using)

    def delete_model(self, request: Any, obj: Any) -> None:
        obj.delete(using=self.using)

    def get_queryset(self, request: Any) -> Any:
        return super().get_queryset(request).using(self.using)

    def formfield_for_foreignkey(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        return super().formfield_for_foreignkey(db_field, request, using=self.using, **kwargs)

    def formfield_for_manytomany(self, db_field: Any, request: Any, **kwargs: Any) -> Any:
        return super().formfield_for_manytomany(db_field, request, using=self.using, **kwargs)


def _site(alias: str) -> AdminSite:
    site = AdminSite(name=alias)
    site.register(Item, OneDatabase)
    return site


urlpatterns = [path(f"{alias}/", _site(alias).urls) for alias in connections]


def post(url: str, values: dict[str, Any]) -> None:
    """Send a form of the admin as a superuser, who has to succeed."""
    client = Client()
    with override_settings(ROOT_URLCONF=__name__):
        client.force_login(User.objects.get_or_create(username="staff", defaults=STAFF)[0])
        response = client.post(url, values)
    assert response.status_code == 302, response.content.decode()


STAFF = {"is_staff": True, "is_superuser": True}
