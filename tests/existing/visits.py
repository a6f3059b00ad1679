"""Visits the shop in between edits, and writes down the answers. Run in a project of its own."""

import itertools
import json
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import django

django.setup()

from django.contrib.auth.models import User  # noqa: E402
from django.db import connection  # noqa: E402
from django.test import Client  # noqa: E402
from django.test.utils import CaptureQueriesContext  # noqa: E402
from store.models import Category, Product, Review, Tag, UserPrice  # noqa: E402

VISITORS = "nobody", "ann", "ben"

URLS = [
    "/categories/coffee/",
    "/categories/coffee/?utm_source=letter",
    "/categories/coffee/?page=2",
    "/tags/dark/",
    "/products/1/",
    "/api/products/1/",
    "/api/products/?tags=1&search=o",
    "/api/products/?category=1&ordering=-name&page=2",
]

_TOKEN = re.compile(r'name="csrfmiddlewaretoken" value="\w+"')


def fill() -> dict[str, Client]:
    """Put goods into the shop; return a client for each of those who visit it."""
    ann, ben, staff = (User.objects.create_user(name) for name in ("ann", "ben", "staff"))
    User.objects.filter(pk=staff.pk).update(is_superuser=True)
    coffee = Category.objects.create(name="Coffee", slug="coffee")
    dark = Tag.objects.create(name="dark")
    for name in ("Espresso", "Lungo", *(f"Roast {number:02}" for number in range(20))):
        product = Product.objects.create(name=name, price=10, category=coffee)
        product.tags.add(dark)
    UserPrice.objects.create(user=ann, product_id=1, price=73)
    UserPrice.objects.create(user=ben, product_id=1, price=87)
    Review.objects.create(product_id=1, author=ann, rating=4, text="Strong.")
    clients = {name: Client(SERVER_NAME="localhost") for name in (*VISITORS, "staff")}
    for user in (ann, ben, staff):
        clients[user.username].force_login(user)
    return clients


def edits(clients: dict[str, Client]) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yield what is done to the shop, one after the other, and its name."""
    first = Product.objects.get(pk=1)
    yield "nothing", lambda: None
    yield "product saved", lambda: Product(1, "Doppio", 11, 1).save(force_update=True)
    yield "product updated", lambda: Product.objects.filter(pk=1).update(name="Triplo")
    yield "tag renamed", lambda: Tag.objects.filter(pk=1).update(name="dark roast")
    yield "tag renamed back", lambda: Tag(1, "dark").save()
    yield "tag added", lambda: first.tags.add(Tag.objects.create(name="new"))
    yield "tag removed", lambda: Product.objects.get(pk=2).tags.clear()
    yield "category renamed", lambda: Category(1, "Kaffee", "coffee").save()
    yield "category created", lambda: Category.objects.create(name="Tea", slug="tea")
    review = {"rating": 2, "text": "Bitter."}
    yield "review written", lambda: clients["ben"].post("/products/1/", review)
    yield "review edited", lambda: Review.objects.filter(author__username="ann").update(rating=5)
    yield "price agreed", lambda: UserPrice.objects.filter(user__username="ann").update(price=61)
    yield "price ended", lambda: UserPrice.objects.filter(user__username="ben").delete()
    yield "deleted over the API", lambda: clients["staff"].delete("/api/products/2/")
    yield "deleted softly", lambda: Product.objects.get(pk=1).delete()
    yield "many deleted softly", lambda: Product.objects.filter(name__endswith="1").delete()


def answer(client: Client, url: str, headers: dict[str, str]) -> dict[str, Any]:
    """Return what a client is answered, and what that took."""
    with CaptureQueriesContext(connection) as captured:
        response = client.get(url, headers=headers)
    return {
        "status": response.status_code,
        "words": _TOKEN.sub("token", response.content.decode()).split(),
        "cache": response.headers.get("Cache-Status", ""),
        "etag": response.headers.get("ETag", ""),
        "tables": sorted(set(re.findall(r'FROM "(store_\w+)"', str(captured.captured_queries)))),
    }


def answers(times: int) -> Iterator[dict[str, Any]]:
    """Yield the answers to everybody after each edit, each so many times.

    The third time, a client says what it has.
    """
    clients = fill()
    for edit, run in edits(clients):
        run()
        for user, url in itertools.product(VISITORS, URLS):
            etag = ""
            for time in range(times):
                held = {"If-None-Match": etag} if time == 2 else {}
                found = answer(clients[user], url, held)
                yield {"edit": edit, "user": user, "url": url, "time": time, **found}
                etag = found["etag"]


if __name__ == "__main__":
    Path(sys.argv[2]).write_text(json.dumps(list(answers(int(sys.argv[1])))))
