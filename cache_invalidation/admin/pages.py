"""What the pages have in common: who sees them, and how they get into the list of the admin."""

from typing import TYPE_CHECKING, Any, ClassVar, Final

from django import forms
from django.apps import apps
from django.apps.registry import Apps
from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.db import models
from django.forms.widgets import Script
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.http import urlencode
from django.utils.text import capfirst
from django.utils.translation import gettext_lazy as _

from cache_invalidation.delivery.outbox.rows import KINDS
from cache_invalidation.models import AuditEntry
from cache_invalidation.operations.actions import View, at_once
from cache_invalidation.operations.audit import Operator

if TYPE_CHECKING:
    BaseAdmin = admin.ModelAdmin[Any]
else:
    BaseAdmin = admin.ModelAdmin

VIEW: Final = "cache_invalidation.view_metrics"
INVALIDATE: Final = "cache_invalidation.invalidate_cache"
RESET: Final = "cache_invalidation.reset_metrics"

# What a page needs, and one with charts on it.
STYLES: Final = ["admin/css/forms.css", "cache_invalidation/admin.css"]
_SCRIPTS: Final[list[Any]] = [
    Script("cache_invalidation/uplot/uPlot.iife.min.js", defer=True),
    Script("cache_invalidation/dashboard.js", defer=True),
]
DRAWN: Final = forms.Media(
    css={"all": ["cache_invalidation/uplot/uPlot.min.css", *STYLES]},
    js=_SCRIPTS,
)

# The admin lists models. Those below stand for pages: they have no table, and since they are not
# in the project's registry, no migration, content type or permission either.
_pages: Final = Apps()


class _Page:
    """What all of them have in their Meta."""

    apps = _pages
    app_label = "cache_invalidation"
    managed = False
    default_permissions = ()


class Dashboard(models.Model):  # noqa: DJ008 - there are no instances
    class Meta(_Page):
        verbose_name = verbose_name_plural = _("dashboard")


class Registry(models.Model):  # noqa: DJ008
    class Meta(_Page):
        verbose_name = verbose_name_plural = _("registry")


class Advice(models.Model):  # noqa: DJ008
    class Meta(_Page):
        verbose_name = verbose_name_plural = _("advice")


class Invalidate(models.Model):  # noqa: DJ008
    class Meta(_Page):
        verbose_name = verbose_name_plural = _("invalidate")


def allows(request: HttpRequest, *permissions: str) -> bool:
    """Whether the user has one of `permissions`, by their full names."""
    return any(map(request.user.has_perm, permissions))


def require(request: HttpRequest, *permissions: str) -> None:
    """Raise `PermissionDenied` unless the user has one of `permissions`."""
    if not allows(request, *permissions):
        raise PermissionDenied


def operator_of(request: HttpRequest) -> Operator:
    """Return who sent the request, for the audit log."""
    return Operator(
        name=request.user.get_username(),
        key=str(request.user.pk),
        origin=AuditEntry.Origin.ADMIN,
        address=request.META.get("REMOTE_ADDR", ""),
    )


class ReadOnlyAdmin(BaseAdmin):
    """Nothing can be added, changed or deleted as a row; `permissions` say who may look."""

    permissions: ClassVar[tuple[str, ...]] = (VIEW,)

    class Media:
        css: ClassVar = {"all": STYLES}

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return allows(request, *self.permissions)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        # Not "Select … to view": some can be acted upon, and most are read where they are.
        about = {"title": capfirst(self.opts.verbose_name_plural)}
        return super().changelist_view(request, about | (extra_context or {}))

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        named = context["original"].targets
        context |= {
            "targets": {kind: named.get(kind, ()) for kind in KINDS},
            "may_view": allows(request, VIEW),
        }
        return super().render_change_form(request, context, *args, **kwargs)

    def url_of(self, name: str, /, *args: Any, **query: str) -> str:
        """Return the address of a page of this app, such as ``dashboard_changelist``."""
        site = self.admin_site.name
        url = reverse(f"admin:cache_invalidation_{name}", args=args, current_app=site)
        return f"{url}?{urlencode(query)}" if query else url

    def render(
        self, request: HttpRequest, template: str, title: Any, **context: Any
    ) -> TemplateResponse:
        request.current_app = self.admin_site.name
        about = {
            "title": title,
            "opts": self.opts,
            "app_name": apps.get_app_config(self.opts.app_label).verbose_name,
            "media": self.media,
            "may_view": allows(request, VIEW),
            "may_invalidate": allows(request, INVALIDATE),
            "may_reset": allows(request, RESET),
        }
        return TemplateResponse(
            request,
            f"admin/cache_invalidation/{template}",
            {**self.admin_site.each_context(request), **about, **context},
        )


class PageAdmin(ReadOnlyAdmin):
    """A page where the admin usually has a list of rows."""

    def page(self, request: HttpRequest) -> HttpResponseBase:
        """Answer a request for the page. The permission has been checked."""
        raise NotImplementedError

    def checked_page(self, request: HttpRequest) -> HttpResponseBase:
        require(request, *self.permissions)
        return self.page(request)

    def get_urls(self) -> list[URLPattern]:
        # Other pages of the admin link to the list of a model by this name.
        return [self.url("", self.checked_page, f"{self.opts.model_name}_changelist")]

    def url(self, route: str, view: View, name: str) -> URLPattern:
        """Return the pattern of a page of this app, of which `url_of` returns the address."""
        view = at_once(self.admin_site.admin_view(view))
        return path(route, view, name=f"cache_invalidation_{name}")
