"""The pages. One line caches each: it finds out what they read, and for whom they were made.

The search is not cached, because hardly any two visitors ask the same; the block in it is, which
shows to those who are logged in what they have edited.
"""

from math import ceil

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
    statistics = queries.country_statistics(code)
    if statistics is None:
        raise Http404(f"There is no country with the code {code}.")
    pages = max(1, ceil(statistics.airports / queries.PAGE_SIZE))
    number = request.GET.get("page", "1")
    page = min(pages, max(1, int(number))) if number.isdecimal() else 1
    context = {
        "country": statistics,
        "airports": queries.country_airports(code, page),
        "page": page,
        "pages": pages,
    }
    return render(request, "airports/country.html", context)


@cache_page(queries.DAY)
def airport(request: HttpRequest, icao: str) -> HttpResponse:
    found = queries.airport(icao)
    if found is None:
        raise Http404(f"There is no airport with the code {icao}.")
    context = {"airport": found, "nearest": queries.nearest(found)}
    return render(request, "airports/airport.html", context)


# Any airport might be the new highest one. Several visitors who find the page outdated wait for the
# first of them to compute it, rather than all sorting the whole table.
@cache_page(queries.DAY, lock=True)
def records(request: HttpRequest) -> HttpResponse:
    return render(request, "airports/records.html", {"records": queries.records()})


def search(request: HttpRequest) -> HttpResponse:
    text = request.GET.get("q", "").strip()
    found = queries.search(text) if text else ()
    return render(request, "airports/search.html", {"text": text, "airports": found})
