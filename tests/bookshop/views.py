"""The pages of the shop, each cached in one line."""

from collections.abc import Sequence
from typing import Any

from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.shortcuts import render as render_template

from cache_invalidation.views import cache_page
from tests.bookshop import queries
from tests.bookshop.models import Book, Category, Person, Tag

PAGE_SIZE = 20


@cache_page(queries.DAY)
def home(request: HttpRequest) -> HttpResponse:
    return render(request, "home", newest=queries.books(queries.newest()), tags=queries.tag_cloud())


@cache_page(queries.DAY)
def category(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Category, pk=pk)
    return _list(request, found.name, queries.by_title(pk))


@cache_page(queries.DAY)
def tag(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Tag, pk=pk)
    return _list(request, found.name, queries.with_tag(pk))


@cache_page(queries.DAY)
def author(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Person, pk=pk)
    return _list(request, found.name, queries.of_author(pk))


@cache_page(queries.DAY)
def book(request: HttpRequest, pk: int) -> HttpResponse:
    found = get_object_or_404(Book.objects.select_related("author", "category"), pk=pk)
    return render(
        request,
        "book",
        book=found,
        in_stock=queries.in_stock(pk),
        reviews=found.reviews.select_related("writer").order_by("pk"),
        comments=found.comments.order_by("pk"),
    )


def _list(request: HttpRequest, title: str, keys: Sequence[int]) -> HttpResponse:
    page = Paginator(keys, PAGE_SIZE).get_page(request.GET.get("page"))
    books = queries.books(list(page.object_list))
    return render(request, "list", title=title, page=page, books=books)


def render(request: HttpRequest, template: str, **context: Any) -> HttpResponse:
    """Return a page with the navigation."""
    context["categories"] = queries.categories()
    return render_template(request, f"bookshop/{template}.html", context)
