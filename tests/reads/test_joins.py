"""Tables that are joined by key: a value depends on the rows that were found, not on the table."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from itertools import count
from typing import Any
from unittest import mock

import pytest
from django.contrib.contenttypes.models import ContentType
from django.db import connections, transaction
from django.db.models import Count, Exists, F, OuterRef, Prefetch, QuerySet
from django.db.models.expressions import RawSQL

from cache_invalidation import cached, invalidate
from cache_invalidation.reads.hints import hints
from cache_invalidation.stores import get_store
from tests.delivered import update_behind_the_back
from tests.elsewhere import elsewhere
from tests.testapp.matrix import Note
from tests.testapp.models import (
    Author,
    Authorship,
    Book,
    Category,
    Place,
    Product,
    Restaurant,
    Review,
    Tag,
)

DATABASES = ["default", "sqlite"]

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=DATABASES),
    pytest.mark.parametrize("using", DATABASES),
]

_numbers = count()


class Counted:
    """A cached function of its own, that counts how often it was computed."""

    def __init__(self, read: Callable[[], Any]) -> None:
        self.computed = 0
        self._read = read
        self.name = f"joined {next(_numbers)}"
        self.function = cached(name=self.name)(self._compute)

    def _compute(self) -> Any:
        self.computed += 1
        return self._read()

    def __call__(self) -> Any:
        return self.function()

    def stays(self, write: Callable[[], Any]) -> bool:
        """Whether the value is a hit after `write`, and the right one."""
        assert self() == self()
        before = self.computed
        write()
        found = self()
        assert found == self._read()
        return self.computed == before


def categories(using: str, number: int = 2) -> list[Category]:
    return [Category.objects.using(using).create(name=f"c{each}") for each in range(number)]


def shop(using: str) -> tuple[Category, Category, list[Product]]:
    """Two products of one category, and one of none; and a category without products."""
    used, unused = categories(using)
    rows = Product.objects.using(using)
    products = [
        rows.create(name="p0", category=used),
        rows.create(name="p1", category=used),
        rows.create(name="p2"),
    ]
    return used, unused, products


def vouches(using: str) -> bool:
    """Whether the database says that there is a row for each key that refers to one."""
    return using != "sqlite"


def rename(row: Any, name: str) -> None:
    row.name = name
    row.save()


def joined(using: str) -> list[tuple[str, str | None]]:
    found = Product.objects.using(using).order_by("pk").select_related("category")
    return [(each.name, each.category.name if each.category else None) for each in found]


def test_a_list_with_related_rows_depends_on_those_rows(using: str) -> None:
    used, unused, products = shop(using)
    read = Counted(lambda: joined(using))
    assert read.stays(lambda: rename(unused, "new"))
    assert read.stays(lambda: Category.objects.using(using).create(name="more"))
    assert read.stays(lambda: Category.objects.using(using).filter(pk=unused.pk).update(name="x"))
    assert read.stays(unused.delete)
    assert not read.stays(lambda: rename(used, "new"))
    assert not read.stays(lambda: rename(products[0], "new"))
    assert not read.stays(lambda: Category.objects.using(using).update(name="all"))
    assert not read.stays(lambda: invalidate(tags=[f"testapp.category:{used.pk}"]))
    assert not read.stays(lambda: invalidate(tags=["testapp.category:*"]))
    assert not read.stays(used.delete)
    assert f"testapp.category:{used.pk}" not in hints[read.name]


def test_a_row_that_appears_is_depended_on_from_then_on(using: str) -> None:
    _, unused, products = shop(using)
    read = Counted(lambda: joined(using))
    read()
    products[2].category = unused
    assert not read.stays(products[2].save)
    assert not read.stays(lambda: rename(unused, "new"))


def test_an_inner_join_over_keys_that_must_be_there(using: str) -> None:
    authors = [Author.objects.using(using).create(name=f"a{n}") for n in range(2)]
    book = Book.objects.using(using).create(title="b")
    Authorship.objects.using(using).create(author=authors[0], book=book)
    rows = Authorship.objects.using(using).select_related("author", "book").order_by("pk")
    read = Counted(lambda: [(each.author.name, each.book.title) for each in rows.all()])
    assert read.stays(lambda: rename(authors[1], "new")) is vouches(using)
    assert not read.stays(lambda: rename(authors[0], "new"))
    assert not read.stays(
        lambda: Authorship.objects.using(using).create(author=authors[1], book=book)
    )
    assert not read.stays(lambda: rename(authors[1], "newer"))


def test_values_of_another_table(using: str) -> None:
    used, unused, _ = shop(using)
    rows = Product.objects.using(using).order_by("pk")
    read = Counted(lambda: list(rows.values_list("category_id", "category__name")))
    assert read.stays(lambda: rename(unused, "new"))
    assert not read.stays(lambda: rename(used, "new"))
    annotated = Counted(lambda: [each.of for each in rows.annotate(of=F("category__name"))])
    assert annotated.stays(lambda: rename(unused, "newer"))
    assert not annotated.stays(lambda: rename(used, "newer"))


def test_what_does_not_show_its_keys_depends_on_the_table(using: str) -> None:
    _, unused, _ = shop(using)
    rows = Product.objects.using(using).order_by("pk")
    read = Counted(lambda: list(rows.values_list("name", "category__name")))
    assert not read.stays(lambda: rename(unused, "new"))


def test_multi_table_inheritance(using: str) -> None:
    one, other = (Restaurant.objects.using(using).create(name=name) for name in "ab")
    rows = Restaurant.objects.using(using).filter(pk=one.pk)
    read = Counted(lambda: [each.name for each in rows.all()])
    others = Place.objects.using(using).filter(pk=other.pk)
    assert read.stays(lambda: others.update(name="x")) is vouches(using)
    assert read.stays(lambda: Place.objects.using(using).create(name="c")) is vouches(using)
    assert not read.stays(lambda: Place.objects.using(using).filter(pk=one.pk).update(name="x"))


def test_a_child_that_is_not_there_and_comes(using: str) -> None:
    """The key of the row is that of the parent, so it is known what was asked for in vain."""
    place, other = (Place.objects.using(using).create(name=name) for name in "ab")
    rows = Place.objects.using(using).select_related("restaurant").filter(pk=place.pk)
    read = Counted(lambda: [hasattr(each, "restaurant") for each in rows.all()])
    assert read() == [False]
    assert read.stays(lambda: Restaurant(place_ptr_id=other.pk).save_base(raw=True, using=using))
    assert not read.stays(
        lambda: Restaurant(place_ptr_id=place.pk).save_base(raw=True, using=using)
    )
    assert read() == [True]


HOLES: dict[str, Callable[[str], Any]] = {
    "order by a column of it, and only the first": lambda using: [
        each.name
        for each in Product.objects.using(using)
        .select_related("category")
        .order_by(F("category__name").desc(nulls_last=True))[:1]
    ],
    "condition on it": lambda using: [
        (each.name, each.category.name)  # type: ignore[union-attr]
        for each in Product.objects.using(using)
        .select_related("category")
        .filter(category__name="c1")
    ],
    "exclusion by it": lambda using: [
        each.name
        for each in Product.objects.using(using)
        .select_related("category")
        .exclude(category__name="c1")
    ],
    "distinct": lambda using: sorted(
        Product.objects.using(using).values_list("category_id", "category__name").distinct(),
        key=str,
    ),
    "groups": lambda using: sorted(
        Product.objects.using(using)
        .values("category_id", "category__name")
        .annotate(number=Count("pk"))
        .values_list("category__name", "number"),
        key=str,
    ),
    "sub-query": lambda using: [
        each.name
        for each in Product.objects.using(using)
        .select_related("category")
        .filter(Exists(Category.objects.filter(pk=OuterRef("category"), name="c1")))
    ],
    "the table twice": lambda using: [
        (each.category and each.category.name, each.featured_in and each.featured_in.name)
        for each in Product.objects.using(using).select_related("category", "featured_in")
    ],
    "reverse": lambda using: sorted(
        Category.objects.using(using).values_list("pk", "products__name"), key=str
    ),
}


@pytest.mark.parametrize("hole", HOLES)
def test_what_a_table_decides_makes_a_value_depend_on_it(using: str, hole: str) -> None:
    first, second, products = shop(using)
    products[1].category = second
    products[1].save()
    read = Counted(lambda: HOLES[hole](using))
    for write in (
        lambda: rename(first, "zz"),
        lambda: rename(second, "zzz"),
        lambda: rename(first, "c1"),
        lambda: rename(second, "c2"),
        lambda: Product.objects.using(using).filter(pk=products[2].pk).update(category=second),
        first.delete,
        lambda: Category.objects.using(using).create(name="c1"),
    ):
        read.stays(write)


NAMELESS: dict[str, Callable[[QuerySet[Review]], QuerySet[Review]]] = {
    "condition": lambda rows: rows.extra(where=["stock > 5"]),
    "conversion": lambda rows: rows.extra(where=["CAST(stock AS text) = '6'"]),
    "order of a slice": lambda rows: rows.order_by(RawSQL("stock", []).desc(), "pk")[:1],
}


@pytest.mark.parametrize("nameless", NAMELESS)
def test_a_column_that_does_not_say_of_which_table_it_is(using: str, nameless: str) -> None:
    _, _, products = shop(using)
    for product in products:
        Review.objects.using(using).create(product=product, text=product.name)
    rows = Review.objects.using(using).select_related("product").order_by("pk")
    read = Counted(lambda: [(r.text, r.product.stock) for r in NAMELESS[nameless](rows)])
    read()
    products[1].stock = 6
    assert not read.stays(products[1].save)
    assert read() == [("p1", 6)]


def test_what_is_no_column_does_not_need_a_table(using: str) -> None:
    _, unused, _ = shop(using)
    rows = Product.objects.using(using).select_related("category").order_by("pk")
    for condition in (
        {"name__icontains": "P"},
        {"created__date__gte": date(2000, 1, 1)},
        {"category__isnull": True},
        {"stock__range": (0, 9)},
    ):
        found: Any = rows.filter(**condition)
        read = Counted(lambda: [each.name for each in found.all()])  # noqa: B023
        assert read.stays(lambda: rename(unused, f"{unused.name}+")), condition
    nulls = rows.order_by(F("price").desc(nulls_last=True))
    first = Counted(lambda: [each.name for each in nulls[:1]])
    assert first.stays(lambda: rename(unused, "new"))


def test_a_key_without_a_constraint_that_points_nowhere(using: str) -> None:
    """What an inner join leaves out is not shown, and so nobody can depend on its rows."""
    Note.objects.using(using).create(text="n", content_type_id=99_999, object_id=1)
    rows = Note.objects.using(using).select_related("content_type")
    read = Counted(lambda: [(each.text, each.content_type.model) for each in rows.all()])
    assert read() == []
    late = ContentType(pk=99_999, app_label="late", model="late")
    assert not read.stays(lambda: late.save(using=using))
    assert read() == [("n", "late")]
    late.delete()


def test_a_key_that_points_nowhere_although_there_is_a_constraint(using: str) -> None:
    """SQLite holds to it while the connection asks for that, and shells do not by themselves."""
    if vouches(using):
        return
    author = Author.objects.using(using).create(name="a")
    rows = Authorship.objects.using(using).select_related("author", "book")
    with connections[using].constraint_checks_disabled():
        rows.create(author=author, book_id=77)
    read = Counted(lambda: [(each.author.name, each.book.title) for each in rows.all()])
    assert read() == []
    assert not read.stays(lambda: Book(pk=77, title="b").save(using=using))
    assert read() == [("a", "b")]


def test_too_many_rows_make_a_value_depend_on_the_table(using: str) -> None:
    for number in range(51):
        category = Category.objects.using(using).create(name=f"c{number}")
        Product.objects.using(using).create(name="p", category=category)
    unused = Category.objects.using(using).create(name="unused")
    read = Counted(lambda: joined(using))
    assert not read.stays(lambda: rename(unused, "new"))
    Product.objects.using(using).first().delete()  # type: ignore[union-attr]
    assert read.stays(lambda: rename(unused, "newer"))


def test_what_this_thread_has_written_is_not_stored(using: str) -> None:
    used, _, _ = shop(using)
    read = Counted(lambda: joined(using))
    with transaction.atomic(using):
        rename(used, "mine")
        assert read()[0] == ("p0", "mine")
        transaction.set_rollback(True, using)
    assert read()[0] == ("p0", "c0")


def test_an_outer_function_depends_on_the_rows_as_well(using: str) -> None:
    used, unused, _ = shop(using)
    inner = Counted(lambda: joined(using))
    outer = Counted(lambda: [inner()])
    assert outer.stays(lambda: rename(unused, "new"))
    assert not outer.stays(lambda: rename(used, "new"))


def test_a_query_that_fails_is_depended_on_as_a_whole(using: str) -> None:
    _, unused, _ = shop(using)

    def fail(execute: Any, sql: str, *rest: Any) -> Any:
        raise RuntimeError

    def compute() -> str:
        with connections[using].execute_wrapper(fail):
            try:
                return str(joined(using))
            except RuntimeError:
                return "failed"

    read = Counted(compute)
    assert read() == "failed"
    assert not read.stays(lambda: rename(unused, "new"))


MOMENTS = ["sampled", "queried", "found", "filled"]


@contextmanager
def stepping_in(using: str, tag: str, at: str, write: Callable[[], Any]) -> Iterator[list[str]]:
    """Have `write` happen in another thread, once, when a reader has come to `at`."""
    done: list[str] = []

    def step(moment: str) -> None:
        if moment == at and not done:
            done.append(at)
            elsewhere(write)

    def around(execute: Any, sql: str, *rest: Any) -> Any:
        if "JOIN" not in sql:
            return execute(sql, *rest)
        step("sampled")
        result = execute(sql, *rest)
        step("queried")
        return result

    kind: Any = type(get_store())
    mint, fill = kind.mint, kind.fill

    def late_mint(self: Any, tags: Any, timeout: Any) -> Any:
        if tag in tags:
            step("found")
        return mint(self, tags, timeout)

    def late_fill(self: Any, filling: Any) -> bool:
        step("filled")
        return bool(fill(self, filling))

    with (
        mock.patch.object(kind, "mint", late_mint),
        mock.patch.object(kind, "fill", late_fill),
        connections[using].execute_wrapper(around),
    ):
        yield done


@pytest.mark.parametrize("moment", MOMENTS)
@pytest.mark.parametrize("by_hand", [False, True], ids=["write", "by hand"])
def test_a_write_in_the_middle_makes_nothing_stale(using: str, moment: str, by_hand: bool) -> None:
    used, _, _ = shop(using)
    tag = f"testapp.category:{used.pk}"
    renamed = Category.objects.using(using).filter(pk=used.pk)

    def write() -> None:
        if by_hand:
            update_behind_the_back(renamed, name="new")
            invalidate(tags=[tag])
        else:
            renamed.update(name="new")

    read = Counted(lambda: joined(using))
    with stepping_in(using, tag, moment, write) as done:
        read()
    assert done
    assert read()[0] == ("p0", "new")
    assert read()[0] == ("p0", "new")


@pytest.mark.parametrize("moment", ["queried", "found"])
@pytest.mark.parametrize("is_inner", [False, True], ids=["same function", "inner function"])
def test_a_later_query_that_depends_on_the_table_takes_no_condition_away(
    using: str, moment: str, is_inner: bool
) -> None:
    used, _, _ = shop(using)
    number = cached(name=f"number {next(_numbers)}")(Category.objects.using(using).count)
    counted = number if is_inner else Category.objects.using(using).count
    read = Counted(lambda: (joined(using), counted()))
    renamed = Category.objects.using(using).filter(pk=used.pk)

    def write() -> None:
        renamed.update(name="new")
        if is_inner:
            number()

    with stepping_in(using, f"testapp.category:{used.pk}", moment, write) as done:
        read()
    assert done
    assert read() == (joined(using), 2)


@pytest.mark.parametrize("related", ["tags", Prefetch("tags", Tag.objects.order_by("name"))])
def test_prefetched_rows(using: str, related: Any) -> None:
    _, _, products = shop(using)
    tags = [Tag.objects.using(using).create(name=name) for name in "ab"]
    products[0].tags.add(tags[0])
    rows = Product.objects.using(using).order_by("pk").prefetch_related(related)
    read = Counted(lambda: [[tag.name for tag in each.tags.all()] for each in rows.all()])
    assert read.stays(lambda: rename(tags[1], "new")) is vouches(using)
    assert not read.stays(lambda: rename(tags[0], "new"))
    assert not read.stays(lambda: products[1].tags.add(tags[1]))
    assert not read.stays(lambda: rename(tags[1], "b"))


def test_another_miss_costs_a_round_trip_more_only_for_other_rows(
    using: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    used, unused, products = shop(using)
    read = Counted(lambda: joined(using))
    kind: Any = type(get_store())
    minted: list[list[str]] = []
    mint = kind.mint

    def noted(self: Any, tags: Any, timeout: Any) -> Any:
        minted.append(list(tags))
        return mint(self, tags, timeout)

    read()
    monkeypatch.setattr(kind, "mint", noted)
    conditions = ["testapp.category", "testapp.category:%"]
    assert not read.stays(lambda: rename(products[0], "new"))
    assert minted == [["testapp.product", *conditions]]
    minted.clear()
    assert not read.stays(lambda: rename(used, "new"))
    assert minted == [[f"testapp.category:{used.pk}", *conditions]]
    minted.clear()
    products[2].category = unused
    assert not read.stays(products[2].save)
    assert minted == [["testapp.product", *conditions], [f"testapp.category:{unused.pk}"]]
