"""Multi-table children and parents whose keys differ: without a rule nobody asks for them."""

from collections.abc import Callable
from typing import Any

import pytest
from django.db import transaction
from django.test.utils import override_settings

from cache_invalidation import ModelInvalidation, cached, invalidate, registry
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from tests.cursors import execute
from tests.delivered import Delivered, delivered
from tests.testapp.models import Place
from tests.testapp.related import Article, Essay, Volume
from tests.testapp.unusual import Shop

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


def rows(found: Delivered) -> set[str]:
    names = ("volume", "article", "essay", "shop", "place")
    tags = (tag for name in names for tag in found.family(f"testapp.{name}"))
    return {tag.removeprefix("testapp.") for tag in tags}


def essay(using: str) -> Essay:
    return Essay.objects.using(using).create(volume_id=5, article_id=6, title="t", headline="h")


Act = Callable[[str], Any]
OF_ESSAY = {"volume:5", "article:6", "essay:5"}

CASES: list[tuple[str, Act, set[str]]] = [
    ("save", lambda u: Essay.objects.using(u).get().save(), OF_ESSAY),
    (
        "save of a field",
        lambda u: Essay.objects.using(u).get().save(update_fields=["words"]),
        OF_ESSAY,
    ),
    ("save of a parent", lambda u: Volume.objects.using(u).get().save(), {"volume:5", "essay:5"}),
    ("of the other", lambda u: Article.objects.using(u).get().save(), {"article:6", "essay:*"}),
    (
        "update",
        lambda u: Essay.objects.using(u).filter(pk=5).update(words=1),
        {"volume:5", "article:*", "essay:5"},
    ),
    (
        "update of a parent's column",
        lambda u: Essay.objects.using(u).filter(pk=5).update(headline="n"),
        {"article:6", "essay:*"},
    ),
    (
        "SQL",
        lambda u: execute(u, "UPDATE testapp_article SET headline = 'n' WHERE article_id = 6"),
        {"article:6", "essay:*"},
    ),
    (
        "delete",
        lambda u: Essay.objects.using(u).get().delete(),
        {"volume:5", "article:*", "essay:*"},
    ),
    (
        "delete of a parent",
        lambda u: Article.objects.using(u).get().delete(),
        {"volume:5", "article:*", "essay:*"},
    ),
]


@pytest.mark.parametrize(
    ("act", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_a_row_goes_by_its_key_where_it_is_known_and_else_with_all(
    using: str, act: Act, expected: set[str]
) -> None:
    essay(using)
    with delivered() as found:
        act(using)
    assert rows(found) == expected


@override_settings(CACHE_INVALIDATION={"UNDECLARED_READS": "ignore"})
@pytest.mark.parametrize("atomic", [False, True])
def test_nothing_is_stale(using: str, atomic: bool) -> None:
    essay(using)
    Shop.objects.using(using).create(id=7, code="s", name="old")

    @cached()
    def headline(pk: int) -> str:
        return str(Essay.objects.using(using).get(pk=pk).headline)

    @cached(tags=["testapp.article:{pk}"])
    def by_article(pk: int) -> str:
        return str(Article.objects.using(using).get(pk=pk).headline)

    @cached(tags=["testapp.shop:{code}"])
    def name_of_shop(code: str) -> str:
        return str(Shop.objects.using(using).get(pk=code).name)

    def check() -> None:
        expected = Article.objects.using(using).get(pk=6).headline
        assert headline(5) == by_article(6) == expected
        assert name_of_shop("s") == Shop.objects.using(using).get().name

    def write(number: int) -> None:
        text = f"n{number}"
        of_essay, of_article = (m.objects.using(using).get() for m in (Essay, Article))
        shop, place = (m.objects.using(using).get(name__isnull=False) for m in (Shop, Place))
        of_essay.headline = of_article.headline = shop.name = place.name = text
        actions: list[Callable[[], Any]] = [
            of_essay.save,
            of_article.save,
            lambda: Essay.objects.using(using).update(headline=text),
            lambda: Article.objects.using(using).filter(pk=6).update(headline=text),
            lambda: Article.objects.using(using).bulk_update([of_article], ["headline"]),
            shop.save,
            place.save,
            lambda: Place.objects.using(using).filter(pk=7).update(name=text),
            lambda: Shop.objects.using(using).update(name=text),
        ]
        actions[number]()

    for number in range(9):
        check()
        if atomic:
            with transaction.atomic(using=using):
                write(number)
                check()
        else:
            write(number)
        check()


def test_each_row_is_counted_once(using: str) -> None:
    def counted(action: Callable[[], Any]) -> Any:
        reset_metrics()
        action()
        return read_metrics()["invalidations_by_entity_type"]

    one_each = {f"testapp.{name}": 1 for name in ("volume", "article", "essay")}
    assert counted(lambda: essay(using)) == one_each
    row = Essay.objects.using(using).get()
    assert counted(row.save) == one_each
    assert counted(row.delete) == one_each


def test_a_rule_names_the_row_of_its_own_table(using: str) -> None:
    class Page(ModelInvalidation):
        tags = ["article-page:{pk}"]
        keys = ["article-{article_id}"]

    class LooksAtValues(ModelInvalidation):
        tags = ["words:{words}"]

    for rule in (None, LooksAtValues):
        with registry.override(Article, Page), registry.override(Essay, rule):
            row = essay(using)
            with delivered() as found:
                row.save()
            assert found.family("article-page") == {"article-page:6"}
            assert found.keys == {"article-6"}
            row.delete()


def test_what_is_invalidated_by_hand_is_known_by_its_instance(using: str) -> None:
    row = essay(using)
    with delivered() as found:
        invalidate(row)
    assert rows(found) == OF_ESSAY
