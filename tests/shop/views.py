"""Views that look at one thing or another of their request; none of them knows of a cache."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse, JsonResponse, StreamingHttpResponse
from django.middleware.csrf import get_token
from django.shortcuts import get_object_or_404, render
from django.template.response import TemplateResponse
from django.utils import formats, timezone, translation
from django.views.generic import DetailView, ListView, View

from tests.testapp.models import Category, Product

PER_PAGE = 2

if TYPE_CHECKING:
    CategoryList = ListView[Category]
    CategoryDetail = DetailView[Category]
else:
    CategoryList, CategoryDetail = ListView, DetailView


def products(request: HttpRequest) -> HttpResponse:
    """Reads two parameters, and no others."""
    page, sort = int(request.GET.get("page", 1)), request.GET.get("sort", "name")
    found = Product.objects.order_by(sort if sort in ("name", "price") else "name")
    names = [product.name for product in found[(page - 1) * PER_PAGE : page * PER_PAGE]]
    return HttpResponse(f"page {page} by {sort}: {', '.join(names)}")


def product(request: HttpRequest, pk: int) -> HttpResponse:
    """Reads one row."""
    return HttpResponse(get_object_or_404(Product, pk=pk).name)


def links(request: HttpRequest) -> HttpResponse:
    """Goes through all parameters."""
    query = request.GET.copy()
    query["page"] = "2"
    return HttpResponse(f"next: ?{query.urlencode()}")


def here(request: HttpRequest) -> HttpResponse:
    """Shows its own address."""
    return HttpResponse(request.get_full_path())


def prices(request: HttpRequest) -> HttpResponse:
    """Is another one for each user."""
    who = request.user.username if request.user.is_authenticated else "everybody"
    discount = len(who)
    listed = [f"{p.name} {p.price - discount}" for p in Product.objects.order_by("name")]
    return render(request, "shop/prices.html", {"listed": listed, "who": who})


def staff(request: HttpRequest) -> HttpResponse:
    """Is another one for staff, which also has a cookie looked at."""
    if request.user.is_staff:
        return HttpResponse(f"staff, {request.COOKIES.get('columns', 'all')} columns")
    return HttpResponse("no staff")


def edit(request: HttpRequest) -> HttpResponse:
    """Asks for the permission to change products."""
    may = request.user.has_perm("testapp.change_product")
    return HttpResponse("edit" if may else "look")


@login_required
def account(request: HttpRequest) -> HttpResponse:
    """Is for those who are logged in."""
    return HttpResponse(f"account of {request.user.get_username()}")


def experiment(request: HttpRequest) -> HttpResponse:
    """Shows one of two variants."""
    return HttpResponse(f"variant {request.COOKIES.get('ab', 'a')}")


def agent(request: HttpRequest) -> HttpResponse:
    """Looks at a header by each of its names."""
    is_mobile = "Mobile" in request.headers.get("User-Agent", "")
    return HttpResponse(f"mobile {is_mobile}, from {request.META.get('HTTP_X_COUNTRY', 'nowhere')}")


def greeting(request: HttpRequest) -> HttpResponse:
    """Is in the language of the visitor, with numbers and times as they are written there."""
    now = timezone.localtime(datetime(2026, 1, 1, 12, tzinfo=UTC))
    number = formats.localize(1234.5)
    said = translation.gettext("Yes")
    return HttpResponse(f"{said} {number} {now:%H:%M} {translation.get_language()}")


def form(request: HttpRequest) -> HttpResponse:
    """Has a form, and so a token."""
    return HttpResponse(f"<input value='{get_token(request)}'>")


def notices(request: HttpRequest) -> HttpResponse:
    """Shows messages."""
    return HttpResponse("; ".join(str(message) for message in messages.get_messages(request)))


def notify(request: HttpRequest) -> HttpResponse:
    """Leaves a message for the next page."""
    messages.info(request, f"hello {request.GET.get('name', '')}")
    return HttpResponse("noted")


def cart(request: HttpRequest) -> HttpResponse:
    """Counts in the session."""
    request.session["seen"] = request.session.get("seen", 0) + 1
    return HttpResponse(f"seen {request.session['seen']}")


def remember(request: HttpRequest) -> HttpResponse:
    """Sets a cookie."""
    response = HttpResponse("remembered")
    response.set_cookie("visitor", request.GET.get("name", "x"))
    return response


def where(request: HttpRequest) -> HttpResponse:
    """Says where it is."""
    return HttpResponse(request.build_absolute_uri("/x/"))


def stream(request: HttpRequest) -> StreamingHttpResponse:
    """Comes in parts."""
    return StreamingHttpResponse(iter([b"a", b"b"]))


def missing(request: HttpRequest) -> HttpResponse:
    """Is not there."""
    return HttpResponse("nothing here", status=404)


def late(request: HttpRequest) -> TemplateResponse:
    """Is rendered after the middlewares have seen it."""
    found = Product.objects.order_by("pk")
    return TemplateResponse(request, "shop/products.html", {"products": found})


def json(request: HttpRequest) -> JsonResponse:
    """Is no text."""
    return JsonResponse(
        {"products": list(Product.objects.order_by("pk").values_list("name", flat=True))}
    )


async def awaited(request: HttpRequest) -> HttpResponse:
    """Is a coroutine."""
    user = await request.auser()
    names = [product.name async for product in Product.objects.order_by("name")]
    return HttpResponse(f"{user.get_username() or 'everybody'}: {', '.join(names)}")


class Categories(CategoryList):
    """A generic list, with pages."""

    template_name = "shop/categories.html"
    ordering = "name"
    paginate_by = 2
    model = Category


class CategoryPage(CategoryDetail):
    """A generic page of one object."""

    template_name = "shop/category.html"
    model = Category


class Asked(View):
    """Looks at what it was given, and at the request that it holds."""

    title = "asked"

    def get(self, request: HttpRequest, **kwargs: Any) -> HttpResponse:
        """Return what was asked for."""
        return HttpResponse(f"{self.title} {self.request.GET.get('q', '')} {kwargs}")
