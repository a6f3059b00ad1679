"""What depends on what, to look through: all of it, one name, one tag."""

from collections import Counter
from typing import Final

from django.contrib import messages
from django.http import (
    Http404,
    HttpRequest,
    HttpResponseBase,
    HttpResponseNotAllowed,
    HttpResponseRedirect,
)
from django.urls import URLPattern
from django.utils.translation import gettext as _

from cache_invalidation.admin.cached import about, about_tag
from cache_invalidation.admin.drawing import draw
from cache_invalidation.admin.graph import graph
from cache_invalidation.admin.pages import DRAWN, INVALIDATE, PageAdmin, require
from cache_invalidation.exceptions import CacheInvalidationError
from cache_invalidation.operations.rechecks import checkable, recheck_entries

COMPUTED: Final = 100  # entries that one request checks, each of which has to be computed


class RegistryAdmin(PageAdmin):
    """Models, rules, what they name and who reads it: as lists, and drawn."""

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

    def name_page(self, request: HttpRequest) -> HttpResponseBase:
        """Show all that is known of one function, page or block."""
        require(request, *self.permissions)
        name = request.GET.get("name", "")
        found = about(name, request.GET)
        if found is None:
            raise Http404(_("Nothing that is cached is called %(name)r.") % {"name": name})
        return self.render(request, "name.html", name, name=name, media=DRAWN, **found)

    def tag_page(self, request: HttpRequest) -> HttpResponseBase:
        """Show who reads a tag, and what drops it."""
        require(request, *self.permissions)
        tag = request.GET.get("tag", "")
        if not tag:
            raise Http404(_("Name a tag."))
        return self.render(
            request, "tag.html", _("Tag %(tag)s") % {"tag": tag}, tag=tag, **about_tag(tag)
        )

    def recheck(self, request: HttpRequest) -> HttpResponseBase:
        """Compare what is cached under a name with what is computed now, and say the result."""
        require(request, INVALIDATE)
        if request.method != "POST":
            return HttpResponseNotAllowed(["POST"])
        name = request.POST.get("name", "")
        if name not in checkable():
            raise Http404
        try:
            self._tell_checked(request, _check(name))
        except CacheInvalidationError as error:
            text = _("It could not be checked (%(error)s).")
            messages.error(request, text % {"error": error})
        return HttpResponseRedirect(self.url_of("registry_name", name=name))

    def _tell_checked(self, request: HttpRequest, found: Counter[str]) -> None:
        compared = found["fresh"] + found["stale"]
        about = {"n": compared, "stale": found["stale"], "left": found.total() - compared}
        if found["stale"]:
            text = _("%(stale)d of %(n)d entries were stale, and were dropped. The log says more.")
            level = messages.ERROR
        elif compared:
            text = _("%(n)d entries were compared with what is computed now: none is stale.")
            level = messages.SUCCESS
        else:
            text = _("There was no entry that could be compared.")
            level = messages.WARNING
        if about["left"]:
            text += " " + _("%(left)d could not be compared.")
        messages.add_message(request, level, text % about)

    def get_urls(self) -> list[URLPattern]:
        return [
            *super().get_urls(),
            self.url("name/", self.name_page, "registry_name"),
            self.url("tag/", self.tag_page, "registry_tag"),
            self.url("check/", self.recheck, "registry_check"),
        ]


def _check(name: str) -> Counter[str]:
    """Return how many entries were found to be what, until enough have been computed."""
    found: Counter[str] = Counter()
    for entry in recheck_entries([name]):
        found[entry.outcome] += 1
        if found.total() - found["not recomputable"] >= COMPUTED:
            break
    return found
