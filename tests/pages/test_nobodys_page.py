"""Whoever asks, whatever was written meanwhile: the page is the one that a view makes now."""

import os
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from decimal import Decimal
from typing import Any, Final
from unittest import mock

import pytest
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType

from cache_invalidation.reads.recorders import Sampled
from cache_invalidation.surfaces.inputs import always
from cache_invalidation.surfaces.pages import outlook, requests, visits
from tests.pages.visitors import Visitor
from tests.shop.urls import FUNCTIONS
from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db(transaction=True)

#: Requests in all; 100,000 were made by hand, see CONTRIBUTING.
REQUESTS: Final = int(os.environ.get("PAGES_REQUESTS", "5000"))
SHARDS: Final = 10

PATHS: Final = (
    *[f"/{name}/" for name in FUNCTIONS if name != "stream"],
    *("/products/1/", "/products/2/", "/products/3/", "/categories/", "/categories/1/"),
    *("/asked/x/", "/asked/y/", "/told/x/"),
)
PARAMETERS: Final = {
    "page": "12", "sort": ("name", "price"), "q": ("shoe", "hat"), "name": "ab",
    "utm_source": "xyz",
}  # fmt: skip
HEADERS: Final = {
    "User-Agent": ("Mobile", "Desktop"), "X-Country": ("DE", "FR"), "Accept-Language": ("de", "en"),
    "Host": ("other.example",), "Accept-Encoding": ("gzip",),
}  # fmt: skip
COOKIES: Final = {"ab": "ab", "zone": ("UTC", "Asia/Tokyo"), "columns": "12", "_ga": "12345"}


class Site:
    """The shop, its visitors, and what goes on there."""

    def __init__(self, seed: int, paths: Sequence[str] = PATHS) -> None:
        self.random = random.Random(seed)
        self.paths = paths
        self.differences: list[str] = []
        self.hits = 0
        categories = [Category.objects.create(pk=pk, name=f"category {pk}") for pk in (1, 2, 3)]
        for pk in (1, 2, 3):
            Product.objects.create(pk=pk, name=f"product {pk}", category=categories[0])
        people = [User.objects.create_user(name) for name in ("anna", "bob")]
        people.append(User.objects.create_user("sam", is_staff=True))
        self.people = people
        self.visitors = [Visitor(), Visitor(), *map(Visitor, people)]

    def go_on(self, steps: int) -> None:
        """Have so many requests, with writes in between."""
        for _ in range(steps):
            if self.random.random() < 0.15:
                self.random.choice(WRITES)(self)
            self.visit()

    def visit(self) -> None:
        """Have somebody go to a page, and remember if that is another one than it should be."""
        choose, visitor = self.random.choice, self.random.choice(self.visitors)
        given = {key: choose(values) for key, values in PARAMETERS.items() if self.happens(0.3)}
        query = "&".join([f"{key}={value}" for key, value in given.items()])
        headers = {key: choose(values) for key, values in HEADERS.items() if self.happens(0.2)}
        if self.happens(0.1):
            name = choose(list(COOKIES))
            value = choose(COOKIES[name])
            for browser in (visitor.cached, visitor.plain):
                browser.cookies[name] = value
        path = choose(self.paths) + (f"?{query}" if query else "")
        found, right = visitor.visit(path, headers=headers)
        self.hits += visitor.status.endswith("hit")
        if found != right:
            self.differences.append(f"{path} {headers}: {found} instead of {right}")

    def happens(self, share: float) -> bool:
        return self.random.random() < share


def _rename(site: Site) -> None:
    kind = site.random.choice((Product, Category))
    kind.objects.filter(pk=site.random.randint(1, 3)).update(name=f"name {site.random.random()}")


def _price(site: Site) -> None:
    product = Product.objects.get(pk=site.random.randint(1, 3))
    product.price = Decimal(site.random.randint(1, 99))
    product.save()


def _move(site: Site) -> None:
    chosen = Product.objects.get(pk=site.random.randint(1, 3))
    chosen.category_id = site.random.randint(1, 3)
    chosen.save()


def _promote(site: Site) -> None:
    person = site.random.choice(site.people)
    User.objects.filter(pk=person.pk).update(is_staff=site.happens(0.5))


def _permit(site: Site) -> None:
    person = site.random.choice(site.people)
    kind = ContentType.objects.get_for_model(Product)
    about = {"codename": "change_product", "content_type": kind}
    permission, _ = Permission.objects.get_or_create(**about, defaults={"name": "change"})
    change = person.user_permissions.add if site.happens(0.5) else person.user_permissions.remove
    change(permission)


WRITES: Final[tuple[Callable[[Site], None], ...]] = (_rename, _price, _move, _promote, _permit)


@pytest.mark.parametrize("shard", range(SHARDS))
def test_every_page_is_the_one_that_its_view_makes_now(shard: int) -> None:
    site = Site(shard)
    site.go_on(REQUESTS // SHARDS)
    assert not site.differences, "\n".join(site.differences[:5])
    assert site.hits > REQUESTS // SHARDS // 20


def _constant(*args: Any) -> str:
    return "always the same"


def _anybody(self: Any) -> str:
    bool(self._held["user"])  # Evaluated by the view, it would be a look at the session.
    return _constant()


def _of(table: Any, name: str) -> AbstractContextManager[Any]:
    return mock.patch.dict(table, {name: _constant})


@contextmanager
def _together(*sabotages: AbstractContextManager[Any]) -> Iterator[None]:
    """What two pieces of code take note of is only forgotten if both do."""
    with ExitStack() as stack:
        for sabotage in sabotages:
            stack.enter_context(sabotage)
        yield


def _without_auth(self: Sampled, statement: Any, *rest: Any) -> None:
    if not any(read.table.startswith("auth") for read in statement.reads):
        _READS(self, statement, *rest)


_READS: Final = Sampled.reads

SABOTAGES: Final[dict[str, Callable[[], AbstractContextManager[Any]]]] = {
    "the user": lambda: mock.patch.dict(outlook._WHOLES, {"user": _anybody}),
    "a cookie": lambda: _of(outlook._PARTS, "COOKIES"),
    "a header": lambda: _of(outlook._PARTS, "META"),
    "a parameter": lambda: _of(outlook._PARTS, "GET"),
    "all parameters": lambda: _of(outlook._WHOLES, "GET"),
    "the language": lambda: mock.patch.object(always, "language_now", _constant),
    "the time zone": lambda: mock.patch.object(always, "zone_now", _constant),
    "the host": lambda: _together(
        mock.patch.object(visits, "host_of", _constant), _of(outlook._PARTS, "META")
    ),
    "messages": lambda: mock.patch.dict(requests._MADE, {"_messages": _messages}),
    "the token": lambda: _together(
        mock.patch.object(requests.Recording, "_changed_meta", _but_the_token(_CHANGED)),
        mock.patch.object(requests.Recording, "_told_of_meta", _but_the_token(_TOLD)),
    ),
    "a permission": lambda: mock.patch.object(Sampled, "reads", _without_auth),
    "the session": lambda: mock.patch.dict(requests._MADE, {"session": _session}),
}


_CHANGED: Final[Any] = requests.Recording._changed_meta
_TOLD: Final[Any] = requests.Recording._told_of_meta


def _but_the_token(original: Any) -> Any:
    def note(self: Any, name: str | None) -> None:
        if name is not None and not name.startswith("CSRF_COOKIE"):
            original(self, name)

    return note


def _messages(self: Any, request: Any) -> Any:
    return self._held["_messages"]


def _session(self: Any, request: Any) -> Any:
    return self._held["session"]


# What takes long to be found out if visitors go everywhere.
SHOWING: Final = {
    "messages": ("/notices/", "/notify/"),
    "the token": ("/form/",),
    "a permission": ("/edit/",),
    "the user": ("/prices/", "/account/"),
    "the session": ("/cart/",),
}


@pytest.fixture
def sabotaged(request: pytest.FixtureRequest) -> Iterator[Sequence[str]]:
    """Have the app forget something; return where visitors go, so that it does not take long."""
    with SABOTAGES[request.param]():
        yield ("/products/", *SHOWING.get(request.param, PATHS))


@pytest.mark.slow
@pytest.mark.parametrize("sabotaged", SABOTAGES, indirect=True)
def test_whoever_forgets_something_is_found_out(sabotaged: Sequence[str]) -> None:
    for seed in range(20):
        Product.objects.all().delete()
        Category.objects.all().delete()
        User.objects.all().delete()
        site = Site(seed, sabotaged)
        for _ in range(20):
            site.go_on(25)
            if site.differences:
                return
    pytest.fail("nobody has noticed")
