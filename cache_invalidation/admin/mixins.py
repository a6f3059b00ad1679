"""For the project's own `ModelAdmin`: invalidating what depends on its rows."""

from typing import TYPE_CHECKING, Any

from django.contrib import admin
from django.contrib.admin.utils import quote, unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Model, QuerySet
from django.http import (
    Http404,
    HttpRequest,
    HttpResponse,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.template.loader import select_template
from django.urls import NoReverseMatch, URLPattern, path, reverse
from django.utils.translation import gettext_lazy as _

from cache_invalidation.admin.outcomes import tell
from cache_invalidation.admin.pages import INVALIDATE, allows, operator_of
from cache_invalidation.conf import settings
from cache_invalidation.operations.actions import Request, at_once, invalidate
from cache_invalidation.operations.entities import Entity

if TYPE_CHECKING:
    _Base = admin.ModelAdmin[Any]
else:
    _Base = object


class InvalidateCacheMixin(_Base):
    """Adds an action to the list of a `ModelAdmin`, and a button to its change page.

    Both invalidate what a write to the rows would, at once. They are there for users who may see
    the rows and have the permission ``cache_invalidation.invalidate_cache``, and audited.
    """

    def __init__(self, model: type[Model], admin_site: admin.AdminSite) -> None:
        super().__init__(model, admin_site)
        # Not an attribute of the class, which the actions of the project would replace.
        if self.actions is not None:
            self.actions = [*self.actions, "invalidate_cache"]

    def has_invalidate_cache_permission(self, request: HttpRequest) -> bool:
        """Whether the user may invalidate the cache by hand."""
        return allows(request, INVALIDATE)

    @admin.action(
        description=_("Invalidate the cache of selected %(verbose_name_plural)s"),
        permissions=["invalidate_cache"],
    )
    def invalidate_cache(self, request: HttpRequest, queryset: QuerySet[Any]) -> None:
        """Invalidate what depends on the rows; more than ``ROW_TAG_LIMIT`` stand for all rows."""
        limit = settings.ROW_TAG_LIMIT
        pks = list(queryset.values_list("pk", flat=True)[: limit + 1])
        self._invalidate(request, pks if len(pks) <= limit else [None], queryset.db)

    def _invalidate(self, request: HttpRequest, pks: list[Any], using: str) -> None:
        entities = [Entity(model=self.model, pk=pk, using=using) for pk in pks]
        reason = str(_("From the page of %(name)s") % {"name": self.opts.verbose_name_plural})
        outcome = invalidate(Request(entities=entities), operator_of(request), reason=reason)
        tell(request, outcome, self._result_url(outcome.audit))

    def _result_url(self, audit: int | None) -> str | None:
        """Return the address of the page that shows all of it, if this site has one."""
        if audit is None:
            return None
        name, site = "admin:cache_invalidation_invalidate_result", self.admin_site.name
        try:
            return reverse(name, args=[audit], current_app=site)
        except NoReverseMatch:  # A site of the project's own, without the pages of this app.
            return None

    def get_urls(self) -> list[URLPattern]:
        view = at_once(self.admin_site.admin_view(self._invalidate_row))
        return [
            path("<path:object_id>/invalidate-cache/", view, name=self._url_name),
            *super().get_urls(),
        ]

    @property
    def _url_name(self) -> str:
        return f"{self.opts.app_label}_{self.opts.model_name}_invalidate_cache"

    def _invalidate_row(self, request: HttpRequest, object_id: str) -> HttpResponse:
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        row = self.get_object(request, unquote(object_id))
        if row is None:
            raise Http404
        if not (
            self.has_invalidate_cache_permission(request)
            and self.has_view_or_change_permission(request, row)
        ):
            raise PermissionDenied
        self._invalidate(request, [row.pk], row._state.db)
        page = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
        return HttpResponseRedirect(
            reverse(page, args=[quote(row.pk)], current_app=self.admin_site.name)
        )

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        response: Any = super().render_change_form(request, context, *args, **kwargs)
        row = context.get("original")
        if row is not None and self.has_invalidate_cache_permission(request):
            # The button goes onto whatever template the page would have had.
            template = response.template_name
            names = [template] if isinstance(template, str) else template
            response.context_data |= {
                "without_button": select_template(names),
                "invalidate_cache_url": reverse(
                    f"admin:{self._url_name}",
                    args=[quote(row.pk)],
                    current_app=self.admin_site.name,
                ),
            }
            response.template_name = "admin/cache_invalidation/with_button.html"
        return response  # type: ignore[no-any-return]
