"""What depends on what, to look through."""

from django.http import HttpRequest, HttpResponseBase
from django.utils.translation import gettext as _

from cache_invalidation.admin.drawing import draw
from cache_invalidation.admin.graph import graph
from cache_invalidation.admin.pages import PageAdmin


class RegistryAdmin(PageAdmin):
    """Models, rules, what they name and who reads it: as lists, and drawn."""

    class Media:
        css = {"all": ["cache_invalidation/admin.css"]}

    def page(self, request: HttpRequest) -> HttpResponseBase:
        query = request.GET.get("q", "")
        found = graph(query)
        return self.render(
            request,
            "registry.html",
            _("What depends on what"),
            query=query,
            graph=found,
            drawing=draw(found),
        )
