"""Each row of the tables for who comes from another package: what is said to be there does it.

A row that says "none" or "not needed" has nothing to be executed.
"""

import re
from collections.abc import Callable
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any, Final

import pytest
from django.core.cache import cache, caches
from django.core.management import call_command
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.template import Context, Engine

from cache_invalidation import ModelInvalidation, cached, invalidate, no_invalidation, registry
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.querysets import uncached_queries
from cache_invalidation.stores import get_store
from cache_invalidation.views import cache_page
from tests.checks.reporting import configured
from tests.delivered import delivered, update_behind_the_back
from tests.outages import Use, down, use  # noqa: F401 - fixtures
from tests.querysets.asking import both, is_cached, names
from tests.surfaces.asking import served
from tests.testapp.models import Product, Tag
from tests.testapp.novels import Novel

pytestmark = [both, pytest.mark.filterwarnings("ignore::cache_invalidation.CacheDependencyWarning")]

PAGE: Final = Path(__file__).parent.parent.parent / "docs" / "how-to" / "migrating.md"
_ROW: Final = re.compile(r"^\| (?P<there>.+?) \| (?P<here>.+) \|$", re.MULTILINE)

stays = partial(is_cached, "default")


def goes(ask: Callable[[], Any]) -> bool:
    return not stays(ask)


def products() -> Any:
    return Product.objects.order_by("pk")


@cached(name="migrating")
def listed(number: int = 0) -> list[str]:
    return names(Product.objects.all())


@cached(name="migrating by tag", tags=[Tag])
def by_tag() -> int:
    return Product.objects.count()


def dropped(drop: Callable[[], object], *, what: Callable[[], Any] = listed) -> bool:
    """Whether `drop` has what is cached computed anew, of what has changed unseen."""
    what()
    update_behind_the_back(Product.objects.all(), name="unseen")
    before = what()
    assert before == what()
    drop()
    return bool(before != what())


def all_queries() -> bool:
    reads: list[Callable[[], Any]] = [
        lambda: products().get(),
        lambda: list(products()),
        lambda: products().count(),
        lambda: products().exists(),
        lambda: products().aggregate(),
    ]
    with configured(QUERIES={"testapp.*": 60}):
        return all(map(stays, reads))


def page_is_kept() -> bool:
    return len({served(_page, "/migrating/").content for _ in range(3)}) == 1


_runs: Final = count()


@cache_page(60)
def _page(request: HttpRequest) -> HttpResponse:
    return HttpResponse(f"{next(_runs)}: {names(Product.objects.all())}")


def block_is_kept(drop: Callable[[], object] = lambda: None) -> bool:
    engine = Engine(
        loaders=[("django.template.loaders.locmem.Loader", {"t.html": BLOCK})],
        builtins=["cache_invalidation.templatetags.cache_invalidation"],
    )
    shown = [engine.get_template("t.html").render(Context({"rows": Product.objects.all()}))]
    update_behind_the_back(Product.objects.all(), name="unseen")
    drop()
    shown.append(engine.get_template("t.html").render(Context({"rows": Product.objects.all()})))
    return shown[0] == shown[1]


BLOCK: Final = "{% cached 60 menu %}{% for row in rows %}{{ row.name }}{% endfor %}{% endcached %}"


def command(*arguments: str) -> Callable[[], Any]:
    return partial(call_command, "invalidate_cache", *arguments, verbosity=0, yes=True)


def key_of_product() -> int:
    return int(Product.objects.get().pk)


def raw_update() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE testapp_product SET stock = 3")


def silent_update() -> None:
    with no_invalidation():
        raw_update()


def keys_of_a_rule() -> bool:
    class Rule(ModelInvalidation):
        keys = ["by hand"]

    cache.set("by hand", 1)
    with registry.override(Product, Rule):
        Product.objects.update(stock=1)
    return cache.get("by hand") is None


def every_alias() -> bool:
    return all(is_cached(alias, Novel.objects.using(alias).cached().count) for alias in ALIASES)


ALIASES: Final = ("default", "other", "sqlite")


def without_a_word() -> bool:
    with uncached_queries():
        return goes(lambda: list(products().cached()))


def queries(setting: dict[str, Any], ask: Callable[[], Any] = lambda: list(products())) -> bool:
    with configured(QUERIES=setting):
        return stays(ask)


def excluded() -> bool:
    with configured(QUERIES={"*": None}, EXCLUDE=["testapp.Product"]):
        return stays(lambda: list(products()))


def told() -> bool:
    with delivered() as batches:
        Product.objects.update(stock=2)
    return bool(batches) and "migrating" in read_metrics()["functions"]


CACHEOPS: Final[dict[str, Callable[[], bool]]] = {
    "`CACHEOPS_REDIS`, `CACHEOPS_SENTINEL`": lambda: in_cache("zlib"),
    "`CACHEOPS` with `ops`": all_queries,
    '`CACHEOPS` with `"ops": ()`': lambda: stays(lambda: list(products().cached())),
    '`"some_app.*": None`': lambda: not queries({"*": 60, "testapp.*": False}),
    "`timeout` of a profile, `CACHEOPS_DEFAULTS`": lambda: queries({"testapp.*": 60}),
    "`.cache()`, `.cache(timeout=…)`": lambda: stays(lambda: list(products().cached(timeout=9))),
    '`.cache(ops=["get"])`': lambda: stays(lambda: products().cached().get(name="P")),
    "`.nocache()`": lambda: goes(lambda: list(products().uncached())) and without_a_word(),
    "`@cached_as(Product)`, `@cached_as(queryset)`": lambda: stays(listed),
    "`@cached_as(Product)` for what the function does not query": lambda: dropped_by_tag(),
    "`extra=`": lambda: stays(lambda: listed(1)) and stays(lambda: listed(2)),
    "`keep_fresh=True`": lambda: dropped(lambda: Product.objects.update(stock=8)),
    "`lock=True`": lambda: stays(cached(lock=True, name="migrating locked")(listed.uncached)),
    "`@cached_view_as`, `@cached_view`": page_is_kept,
    "template tags, Jinja extension": block_is_kept,
    "`@cached(timeout=60)`, by time only": lambda: (
        not dropped(
            lambda: Product.objects.update(stock=8),
            what=cached(tags=[], name="migrating by time")(listed.uncached),
        )
    ),
    "`function.invalidate(…)`": lambda: dropped(listed.invalidate),
    "`function.key(…).set(value)`": lambda: dropped(listed.refresh),
    "`cache.get`, `cache.set`, `CacheMiss`": keys_of_a_rule,
    "`invalidate_obj(product)`": lambda: dropped(lambda: invalidate(Product.objects.get())),
    "`invalidate_model(Product)`": lambda: dropped(lambda: invalidate(Product)),
    "`invalidate_all()`": lambda: dropped(lambda: invalidate(tags=["*"])),
    "`invalidate_fragment(name, …)`": lambda: (
        not block_is_kept(lambda: invalidate(tags=["block:t.html:menu"]))
    ),
    "`manage.py invalidate shop.Product.42`": lambda: dropped(
        command("testapp.Product", str(key_of_product()))
    ),
    "`manage.py invalidate shop`": lambda: dropped(command("testapp.Product")),
    "`manage.py invalidate all`": lambda: dropped(command("--everything")),
    "`with no_invalidation:`, `@no_invalidation`": lambda: not dropped(silent_update),
    "`queryset.invalidated_update(…)`": lambda: dropped(lambda: products().update(stock=5)),
    "`CACHEOPS_PREFIX`": lambda: in_cache("redis_django"),
    "`CACHEOPS_SERIALIZER`": lambda: in_cache("zlib"),
    "`CACHEOPS_ENABLED = False`": without_a_word,
    "signals `cache_read`, `cache_invalidated`": lambda: bool(listed() or True) and told(),
}
CACHALOT: Final[dict[str, Callable[[], bool]]] = {
    "every query": lambda: queries({"*": None}),
    "`CACHALOT_CACHE`": lambda: in_cache("zlib"),
    "`CACHALOT_TIMEOUT`, by default none": lambda: queries({"*": 60}),
    "`CACHALOT_DATABASES`": every_alias,
    "`CACHALOT_ONLY_CACHABLE_TABLES`, `…_APPS`": lambda: (
        queries({"testapp.Product": None}) and not queries({"auth.*": None})
    ),
    "`CACHALOT_UNCACHABLE_TABLES`, `…_APPS`": lambda: (
        not (queries({"*": None, "testapp.Product": False}) or excluded())
    ),
    "`CACHALOT_ENABLED = False`, `cachalot_disabled()`": without_a_word,
    "`CACHALOT_INVALIDATE_RAW = False`": lambda: not dropped(silent_update),
    "`CACHALOT_QUERY_KEYGEN`": lambda: in_cache("redis_django"),
    '`invalidate(Product)`, `invalidate("shop.Product")`': lambda: dropped(
        lambda: invalidate(Product)
    ),
    '`invalidate("shop_product")`, by table': lambda: dropped(lambda: invalidate(Product)),
    "`invalidate()`": lambda: dropped(lambda: invalidate(tags=["*"])),
    "`get_last_invalidation(…)`, as a tag or in Python": lambda: listed.etag() == listed.etag(),
    "`manage.py invalidate_cachalot`": lambda: dropped(command("--everything")),
    "`manage.py invalidate_cachalot shop.Product`": lambda: dropped(command("testapp.Product")),
    "signal `post_invalidation`": lambda: bool(listed()) and told(),
    "`CachalotPanel`": lambda: bool(listed()) and told(),
}

#: What is done in another test, or has nothing in its place.
ELSEWHERE: Final = {"`CACHEOPS_DEGRADE_ON_FAILURE`"}


def in_cache(alias: str) -> bool:
    caches[alias].clear()
    with configured(CACHE=alias, QUERIES={"*": 60}):
        return get_store().alias == alias and stays(lambda: list(products()))


def dropped_by_tag() -> bool:
    before = by_tag()
    Product.objects.create(name="more")
    is_kept = by_tag() == before
    Tag.objects.create(name="T")
    return is_kept and by_tag() == before + 1


def rows_of(package: str) -> dict[str, str]:
    table = PAGE.read_text().split(f"| `{package}` | here |\n|---|---|\n")[1].split("\n\n")[0]
    return {match["there"]: match["here"] for match in _ROW.finditer(table)}


@pytest.fixture
def product() -> Product:
    return Product.objects.create(name="P")


@pytest.mark.parametrize(
    ("package", "executed"), [("django-cacheops", CACHEOPS), ("django-cachalot", CACHALOT)]
)
def test_every_row_is_executed(package: str, executed: dict[str, Any]) -> None:
    rows = rows_of(package)
    without = {there for there, here in rows.items() if here.startswith(("none", "not needed"))}
    assert rows.keys() - without - ELSEWHERE <= executed.keys()
    assert executed.keys() <= rows.keys()


@pytest.mark.parametrize("row", CACHEOPS)
def test_what_takes_the_place_of_cacheops(row: str, product: Product) -> None:
    assert CACHEOPS[row]()


@pytest.mark.parametrize("row", CACHALOT)
def test_what_takes_the_place_of_cachalot(row: str, product: Product) -> None:
    assert CACHALOT[row]()


def test_a_failure_degrades_always(product: Product, down: Use) -> None:  # noqa: F811
    assert names(products().cached()) == ["P"]
