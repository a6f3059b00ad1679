"""The pages. One line caches each: it finds out what they read, and for whom they were made.

The search is not cached, because hardly any two visitors ask the same; the block in it is, which
shows to those who are logged in what they have edited.
"""

from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import render

from cache_invalidation.views import cache_page
from example_project.airports import queries


@cache_page(queries.DAY)
def home(request: HttpRequest) -> HttpResponse:
    countries = queries.countries()
    total = sum(country.airports for country in countries)
    return render(request, "airports/home.html", {"countries": countries, "total": total})


@cache_page(queries.DAY)
def country(request: HttpRequest, code: str) -> HttpResponse:
    name = queries.country_name(code)
    if name is None:
        raise Http404(f"There is no country with the code {code}.")
    page = Paginator(queries.codes_of(code), queries.PAGE_SIZE).get_page(request.GET.get("page"))
    context = {
        "code": code,
        "name": name,
        "figures": queries.figures(code),
        "highest": queries.lines(queries.most("elevation_ft", 1, code)),
        "lowest": queries.lines(queries.least("elevation_ft", 1, code)),
        "airports": queries.lines(list(page.object_list)),
        "page": page,
    }
    return render(request, "airports/country.html", context)


@cache_page(queries.DAY)
def airport(request: HttpRequest, icao: str) -> HttpResponse:
    found = queries.airport(icao)
    if found is None:
        raise Http404(f"There is no airport with the code {icao}.")
    context = {"airport": found, "nearby": queries.nearby(found)}
    return render(request, "airports/airport.html", context)


# Where nothing of it is cached, it takes many queries. Several visitors who find the page outdated
# wait for the first of them to compute it.
@cache_page(queries.DAY, lock=True)
def records(request: HttpRequest) -> HttpResponse:
    return render(request, "airports/records.html", {"records": queries.records()})


def search(request: HttpRequest) -> HttpResponse:
    text = request.GET.get("q", "").strip()
    found = queries.search(text) if text else ()
    return render(request, "airports/search.html", {"text": text, "airports": found})
