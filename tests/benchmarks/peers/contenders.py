"""How each of them does the same. Loaded in the process of one of them, with Django ready."""

from collections.abc import Callable, Mapping
from functools import partial
from importlib import import_module
from typing import Any, Final

from django.core.cache import cache
from django.db import transaction
from django.db.models.signals import post_save
from django.http import HttpRequest, HttpResponse
from django.test import RequestFactory
from django.views.decorators.cache import cache_page as cache_page_of_django

from tests.benchmarks.peers.models import Product

TIMEOUT: Final = 300  # seconds
URL: Final = "/products/?page=2&sort=name"

NO_CACHE: Final = "no cache"  # and what is read is read anew each time

Task = Callable[[], Any]


def page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(Product.objects.get(pk=1).name + "x" * 20_000)


def save() -> None:
    with transaction.atomic():
        Product(pk=1, name="boot", text="x" * 100, price=20).save(update_fields=["name", "text"])


def name() -> str:
    found: str = Product.objects.values_list("name", flat=True).get(pk=1)
    return found


def _visited(view: Callable[[HttpRequest], Any]) -> Task:
    return lambda: view(RequestFactory().get(URL)).content


def nothing() -> Mapping[str, Task]:
    """What each of them is to be better than."""
    return {
        "one row": lambda: Product.objects.get(pk=1),
        "list of 20 rows": lambda: list(Product.objects.all()),
        "a name": name,
        "page": _visited(page),
        "save": save,
    }


def by_hand() -> Mapping[str, Task]:
    """`cache.get` and `set` of `django-redis`, and a receiver that deletes."""

    def kept(key: str, query: Task) -> Any:
        found = cache.get(key)
        if found is None:
            found = query()
            cache.set(key, found, TIMEOUT)
        return found

    def delete_on_commit(instance: Product, **kwargs: Any) -> None:
        transaction.on_commit(
            partial(
                cache.delete_many, [f"product:{instance.pk}", f"name:{instance.pk}", "products"]
            )
        )

    post_save.connect(delete_on_commit, sender=Product, weak=False)
    return {
        "one row": partial(kept, "product:1", lambda: Product.objects.get(pk=1)),
        "list of 20 rows": partial(kept, "products", lambda: list(Product.objects.all())),
        "a name": partial(kept, "name:1", name),
        "page": _visited(cache_page_of_django(TIMEOUT)(page)),
        "save": save,
    }


def this_app() -> Mapping[str, Task]:
    from cache_invalidation import cached
    from cache_invalidation.middleware import CachePageMiddleware
    from cache_invalidation.views import cache_page

    return {
        "one row": lambda: Product.objects.cached(TIMEOUT).get(pk=1),
        "list of 20 rows": lambda: list(Product.objects.cached(TIMEOUT)),
        "a name": cached(timeout=TIMEOUT)(name),
        "page": _visited(CachePageMiddleware(cache_page(TIMEOUT)(page))),
        "save": save,
    }


def this_app_near() -> Mapping[str, Task]:
    """From the memory of the process."""
    from cache_invalidation import cached
    from cache_invalidation.middleware import CachePageMiddleware
    from cache_invalidation.views import cache_page

    await_lease = import_module("tests.benchmarks.lease").await_lease
    await_lease()
    near = cached(timeout=TIMEOUT, near=True)(name)
    near_page = CachePageMiddleware(cache_page(TIMEOUT, near=True)(page))
    return {"a name": near, "page": _visited(near_page), "save": save}


def cacheops() -> Mapping[str, Task]:
    cached_view_as = import_module("cacheops").cached_view_as
    return {
        "one row": lambda: Product.objects.cache(timeout=TIMEOUT).get(pk=1),
        "list of 20 rows": lambda: list(Product.objects.cache(timeout=TIMEOUT)),
        "a name": import_module("cacheops").cached_as(
            Product.objects.filter(pk=1), timeout=TIMEOUT, keep_fresh=True
        )(name),
        "page": _visited(cached_view_as(Product, timeout=TIMEOUT)(page)),
        "save": save,
    }


def cachalot() -> Mapping[str, Task]:
    """All queries by themselves; it has nothing for pages."""
    return {task: do for task, do in nothing().items() if task != "page"}


#: By its name in the table.
CONTENDERS: Final[Mapping[str, Callable[[], Mapping[str, Task]]]] = {
    NO_CACHE: nothing,
    "cache.get": by_hand,
    "this app": this_app,
    "this app, near": this_app_near,
    "django-cacheops": cacheops,
    "django-cachalot": cachalot,
}
