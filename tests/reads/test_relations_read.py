"""What reads a many-to-many relation by one of its rows depends on the relations of that row."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connections, transaction
from django.db.models import QuerySet
from django.db.models.signals import post_delete

from cache_invalidation import ModelInvalidation, cached, registry
from cache_invalidation.explain import explain_sql
from tests.cursors import execute
from tests.elsewhere import elsewhere
from tests.reads.test_joins import Counted
from tests.testapp.models import Author, Authorship, Book, Product, Tag

DATABASES = ["default", "sqlite"]

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=DATABASES),
    pytest.mark.parametrize("using", DATABASES),
]


def rows(model: Any, using: str, *names: str) -> list[Any]:
    title = "title" if model is Book else "name"
    return [model.objects.using(using).create(**{title: name}) for name in names]


@pytest.fixture
def products(using: str) -> list[Product]:
    return rows(Product, using, "p0", "p1", "p2")


@pytest.fixture
def tags(using: str, products: list[Product]) -> list[Tag]:
    """Two tags of the first product, of which one is that of the second, too; and one of none."""
    found = rows(Tag, using, "both", "first", "none")
    products[0].tags.add(*found[:2])
    products[1].tags.add(found[0])
    return found


def names(queryset: Any) -> list[str]:
    return sorted(each.name for each in queryset.all())


def prefetched(products: QuerySet[Product]) -> dict[str, list[str]]:
    return {each.name: names(each.tags) for each in products.prefetch_related("tags")}


WRITES: dict[str, Callable[[Product, Tag], Any]] = {
    "add": lambda product, tag: product.tags.add(tag),
    "add from the other end": lambda product, tag: tag.products.add(product),
    "remove": lambda product, tag: product.tags.remove(*product.tags.all()[:1]),
    "set": lambda product, tag: product.tags.set([tag]),
    "clear": lambda product, tag: product.tags.clear(),
    "bulk_create": lambda product, tag: Product.tags.through.objects.using(
        product._state.db
    ).bulk_create([Product.tags.through(product=product, tag=tag)]),
    "delete of the relations": lambda product, tag: (
        Product.tags.through.objects.using(product._state.db).filter(product=product).delete()
    ),
    "SQL": lambda product, tag: execute(
        str(product._state.db),
        "INSERT INTO testapp_product_tags (product_id, tag_id) VALUES (%s, %s)",
        [product.pk, tag.pk],
    ),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=list(WRITES))
def test_what_is_related_to_one_row_leaves_what_shows_others(
    using: str, products: list[Product], tags: list[Tag], write: Callable[[Product, Tag], Any]
) -> None:
    first, second, _ = products
    found = Product.objects.using(using)
    own = Counted(lambda: names(first.tags))
    others = Counted(lambda: names(second.tags))
    every = Counted(lambda: prefetched(found.order_by("pk")))
    some = Counted(lambda: prefetched(found.exclude(pk=first.pk).order_by("pk")))
    plain = Counted(lambda: names(found))
    of_tags = Counted(lambda: names(Tag.objects.using(using)))
    row = Counted(lambda: found.get(pk=first.pk).name)
    for each in (others, some, plain, of_tags, row):
        each()
    # Those that show the relation are asked last: a value that was just dropped is computed anew.
    before = {each.name: (each(), each.computed) for each in (own, every)}
    write(first, tags[2])
    for each in (own, every):
        assert each() == each._read() != before[each.name][0]
        assert each.computed == before[each.name][1] + 1
    for each in (others, some, plain, of_tags, row):
        assert (each(), each.computed) == (each._read(), 1)


def test_the_other_end_is_left_where_the_statement_names_both(
    using: str, products: list[Product], tags: list[Tag]
) -> None:
    number = Counted(lambda: tags[1].products.count())
    shown = Counted(lambda: names(tags[1].products))
    for read in (number, shown):
        assert read.stays(lambda: products[2].tags.add(tags[2]))
        assert read.stays(lambda: products[1].tags.remove(tags[0]))
        assert not read.stays(lambda: products[1].tags.add(tags[1]))
        assert not read.stays(lambda: products[1].tags.remove(tags[1]))
        products[1].tags.add(tags[0])
        products[2].tags.clear()


def test_a_row_that_is_deleted_takes_its_relations_along(
    using: str, products: list[Product], tags: list[Tag]
) -> None:
    number = Counted(lambda: Product.tags.through.objects.using(using).filter(tag=tags[0]).count())
    others = Counted(lambda: names(products[1].tags))
    assert number.stays(lambda: rows(Product, using, "new"))
    others()
    assert not number.stays(products[0].delete)
    assert (others(), others.computed) == (["both"], 1)
    assert not others.stays(tags[0].delete)


def test_a_row_whose_rule_looks_at_values_is_known_with_its_relations(
    using: str, products: list[Product], tags: list[Tag]
) -> None:
    between = Product.tags.through.objects.using(using)
    numbers = [Counted(between.filter(tag=tag.pk).count) for tag in tags]

    class Slugs(ModelInvalidation):
        tags = ["slug:{slug}"]

    with registry.override(Product, Slugs):
        for product, its in ((products[1], {0}), (products[2], set())):
            before = [(read(), read.computed) for read in numbers]
            product.delete()
            gone = {place for place, read in enumerate(numbers) if read() != before[place][0]}
            assert gone == its
            assert {p for p, read in enumerate(numbers) if read.computed > before[p][1]} == its
        # Of the row at the other end, no rule looks at values.
        tags[0].delete()
        assert [read() for read in numbers] == [read._read() for read in numbers]


@contextmanager
def meanwhile(using: str, act: Callable[[], Any]) -> Iterator[list[Any]]:
    """Call `act` in another thread before relations are deleted."""
    found: list[Any] = []

    def ask(execute: Callable[..., Any], sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql.startswith("DELETE") and "product_tags" in sql:
            found.append(elsewhere(act))
        return execute(sql, params, many, context)

    with connections[using].execute_wrapper(ask):
        yield found


@pytest.fixture
def listener() -> Iterator[None]:
    """Somebody listens to deletions of whatever model, so that Django loads relations."""

    def listen(**kwargs: Any) -> None: ...

    post_delete.connect(listen)
    yield
    post_delete.disconnect(listen)


@pytest.mark.usefixtures("listener")
def test_what_django_has_loaded_may_be_another_relation_when_it_is_deleted(
    using: str, products: list[Product], tags: list[Tag]
) -> None:
    between = Product.tags.through.objects.using(using)
    read = Counted(lambda: names(tags[2].products))
    loaded = between.get(product=products[1])
    between.filter(product=products[1]).update(tag=tags[2])
    assert not read.stays(loaded.delete)
    if using == "sqlite":
        return  # It has one writer at a time.

    def move() -> list[str]:
        between.filter(product=products[0]).update(tag=tags[2])
        return read()  # type: ignore[no-any-return]

    between.filter(product=products[0], tag=tags[1]).delete()
    with meanwhile(using, move) as found:
        between.filter(product=products[0]).delete()
    assert (found, read()) == ([["p0"]], [])


def test_relations_of_a_row_whose_rule_looks_at_values_are_locked_when_it_is_deleted(
    using: str, products: list[Product], tags: list[Tag]
) -> None:
    if using == "sqlite":
        pytest.skip("SQLite has one writer at a time")

    class Slugs(ModelInvalidation):
        tags = ["slug:{slug}"]

    between = Product.tags.through.objects.using(using)

    def locked() -> bool:
        with transaction.atomic(using=using):
            free = between.select_for_update(skip_locked=True)
            return not free.filter(product=products[0]).exists()

    with registry.override(Product, Slugs), meanwhile(using, locked) as found:
        products[0].delete()
    assert found == [True]


@pytest.fixture
def unheld(using: str) -> Iterator[None]:
    """Nothing in the database holds relations to the product that they refer to."""
    if using == "sqlite":
        pytest.skip("SQLite has one writer at a time")
    table = "testapp_product_tags"
    constraints = connections[using].introspection.get_constraints
    with connections[using].cursor() as cursor:
        found = constraints(cursor, table).items()
        name = next(n for n, c in found if c["foreign_key"] and c["columns"] == ["product_id"])
    execute(using, f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    yield
    execute(using, f"DELETE FROM {table}")
    execute(
        using,
        f"ALTER TABLE {table} ADD CONSTRAINT {name} FOREIGN KEY (product_id)"
        " REFERENCES testapp_product (id) DEFERRABLE INITIALLY DEFERRED",
    )


@cached(name="products by tag", tags=["testapp.tag:{pk}"])
def products_by_tag(pk: int, using: str) -> int:
    return Product.tags.through.objects.using(using).filter(tag_id=pk).count()


@pytest.mark.filterwarnings("ignore::cache_invalidation.CacheDependencyWarning")
@pytest.mark.usefixtures("unheld")
@pytest.mark.parametrize(
    "write", [lambda product: product.delete(), lambda product: product.tags.clear()]
)
def test_others_may_add_relations_to_a_locked_row_that_nothing_in_the_database_holds_them_to(
    using: str, products: list[Product], tags: list[Tag], write: Callable[[Product], Any]
) -> None:
    class Slugs(ModelInvalidation):
        tags = ["slug:{slug}"]

    between = Product.tags.through.objects.using(using)
    read = Counted(between.filter(tag=tags[2]).count)
    first = products[0].pk

    def add() -> list[int]:
        # It does not say which rows there are at the ends, so these are not locked before it.
        execute(
            using,
            "INSERT INTO testapp_product_tags (product_id, tag_id)"
            " SELECT product_id, %s FROM testapp_product_tags WHERE product_id = %s LIMIT 1",
            [tags[2].pk, first],
        )
        return [read(), products_by_tag(tags[2].pk, using)]

    with registry.override(Product, Slugs), meanwhile(using, add) as found:
        write(products[0])
    assert found == [[1, 1]]
    assert [read(), between.count()] == [0, 1]
    if products[0].pk is not None:  # What goes along with a product is no change of the tag.
        assert products_by_tag(tags[2].pk, using) == 0


def test_of_several_statements_on_relations_each_names_what_it_writes(
    using: str, products: list[Product], tags: list[Tag]
) -> None:
    """What one of them leaves unknown is dropped as a whole, and does not stand for the others."""
    read = Counted(lambda: names(products[2].tags))
    text = (
        f"DELETE FROM testapp_product_tags WHERE product_id = {products[0].pk}; "
        "INSERT INTO testapp_product_tags (id, product_id, tag_id)"
        f" VALUES (99, {products[2].pk}, {tags[2].pk})"
    )

    def write() -> None:
        with connections[using].cursor() as cursor:
            cursor.executescript(text) if using == "sqlite" else cursor.execute(text)

    assert not read.stays(write)


def trigger(using: str, table: str, assign: str) -> list[str]:
    """Return what defines and drops a trigger that has the database store something else."""
    if using == "sqlite":
        body = f"UPDATE {table} SET {assign} WHERE id = NEW.id"
        return [
            f"CREATE TRIGGER other_end AFTER INSERT ON {table} BEGIN {body}; END",
            "DROP TRIGGER other_end",
        ]
    return [
        "CREATE FUNCTION other_end() RETURNS trigger LANGUAGE plpgsql"
        f" AS $$ BEGIN NEW.{assign}; RETURN NEW; END $$;"
        f" CREATE TRIGGER other_end BEFORE INSERT ON {table}"
        " FOR EACH ROW EXECUTE FUNCTION other_end()",
        "DROP FUNCTION other_end CASCADE",
    ]


def test_where_a_trigger_is_a_relation_may_be_stored_as_another_one(
    using: str, products: list[Product], tags: list[Tag]
) -> None:
    """A tag and its synonyms, say: they are read under another one than that of the statement."""
    between = Product.tags.through
    read = Counted(lambda: names(tags[2].products))
    define, drop = trigger(using, "testapp_product_tags", f"tag_id = {tags[2].pk}")
    execute(using, define)
    try:
        assert not read.stays(lambda: products[2].tags.add(tags[1]))
        products[2].tags.clear()
        row = between(product=products[2], tag=tags[1])
        assert not read.stays(lambda: row.save(using=using))
    finally:
        execute(using, drop)
    assert read.stays(lambda: products[1].tags.add(tags[1]))


@pytest.fixture
def authorship(using: str) -> tuple[Book, Book, list[Author]]:
    one, other = rows(Book, using, "one", "other")
    authors = rows(Author, using, "a", "b", "c")
    for book, author in ((one, authors[0]), (other, authors[0]), (other, authors[1])):
        Authorship.objects.using(using).create(book=book, author=author)
    return one, other, authors


def test_a_model_between_two_others_is_looked_up_by_both_of_its_keys(
    using: str, authorship: tuple[Book, Book, list[Author]]
) -> None:
    one, other, authors = authorship
    between = Authorship.objects.using(using)
    own = Counted(lambda: names(one.authors))
    others = Counted(lambda: names(other.authors))
    by_author = Counted(lambda: sorted(authors[1].authorship_set.values_list("book__title")))
    writes: list[tuple[Callable[[], Any], set[Counted]]] = [
        (lambda: between.create(book=one, author=authors[2]), set()),
        (lambda: one.authors.remove(authors[2]), set()),
        (lambda: one.authors.add(authors[2], through_defaults={"role": "editor"}), set()),
        (lambda: between.bulk_create([Authorship(book=one, author=authors[1])]), {by_author}),
        (lambda: between.filter(book=one, author=authors[1]).delete(), {by_author}),
        # Of the one whose key is not named, it may be any row.
        (lambda: between.filter(book=one, author=authors[2]).update(role="x"), set()),
        (lambda: between.filter(book=one).update(role="y"), {by_author}),
        # What the row was before, a save does not say.
        (lambda: between.filter(book=one)[0].save(), {others, by_author}),
        (lambda: between.filter(book=one, author=authors[2])[0].delete(), {others, by_author}),
    ]
    for number, (write, further) in enumerate(writes):
        before = {read: (read(), read.computed)[1] for read in (own, others, by_author)}
        write()
        found = {read: read() for read in (own, others, by_author)}
        assert found == {read: read._read() for read in found}
        gone = {read for read in found if read.computed > before[read]}
        assert gone == {own, *further}, number


def test_a_rule_of_the_model_between_names_what_it_looks_at(
    using: str, authorship: tuple[Book, Book, list[Author]]
) -> None:
    """With the rows before and after it at hand, a save names both."""
    one, other, _ = authorship
    own, others = Counted(lambda: names(one.authors)), Counted(lambda: names(other.authors))

    class Roles(ModelInvalidation):
        tags = ["role:{role}"]

    row = Authorship.objects.using(using).get(book=one)
    with registry.override(Authorship, Roles):
        assert others.stays(row.save)
        assert not own.stays(row.save)
        row.book = other
        assert not own.stays(row.save)
        assert not others.stays(row.delete)


def test_who_names_a_model_or_a_row_is_told_of_its_relations(
    using: str, products: list[Product], tags: list[Tag]
) -> None:
    calls: list[str] = []

    @cached(tags=[Product, Tag])
    def every() -> int:
        calls.append("every")
        return Product.tags.through.objects.using(using).count()

    @cached(tags=["testapp.product:{pk}", Tag])
    def one(pk: int) -> list[str]:
        calls.append(f"one {pk}")
        return names(Product.objects.using(using).get(pk=pk).tags)

    first, second, _ = products
    for write in (
        lambda: first.tags.add(tags[2]),
        lambda: tags[2].products.remove(first),
        lambda: first.tags.create(name="created"),
        lambda: execute(using, "DELETE FROM testapp_product_tags WHERE tag_id > 0"),
    ):
        every(), one(first.pk), one(second.pk)
        calls.clear()
        write()
        found = every(), one(first.pk), one(second.pk)
        assert {"every", f"one {first.pk}"} <= set(calls)
        assert found == (every.uncached(), one.uncached(first.pk), one.uncached(second.pk))


def test_what_a_statement_on_relations_drops_is_explained(
    using: str, products: list[Product], tags: list[Tag]
) -> None:
    @cached(name="relations that are declared", tags=["testapp.product:{pk}", Tag])
    def declared(pk: int) -> list[str]:
        return names(Product.objects.using(using).get(pk=pk).tags)

    found = Counted(lambda: names(products[0].tags))
    declared(products[0].pk), found()
    explained = explain_sql(
        "INSERT INTO testapp_product_tags (product_id, tag_id) VALUES (%s, %s)",
        [products[0].pk, tags[2].pk],
        using=using,
    )
    assert {
        f"testapp.product_tags.product_id:{products[0].pk}",
        f"testapp.product_tags.tag_id:{tags[2].pk}",
        f"testapp.product+m2m:{products[0].pk}",
    } <= set(explained.tags)
    assert {"testapp.product", f"testapp.product:{products[0].pk}"}.isdisjoint(explained.tags)
    assert {"relations that are declared", found.name} <= set(explained.dependent())


@pytest.mark.filterwarnings("error::cache_invalidation.CacheDependencyWarning")
def test_who_names_both_ends_need_not_name_the_table_between(
    using: str, products: list[Product], tags: list[Tag]
) -> None:
    @cached(name="both ends", tags=["testapp.product:{pk}", Tag])
    def both(pk: int) -> list[str]:
        return names(Product.objects.using(using).get(pk=pk).tags)

    assert both(products[0].pk) == ["both", "first"]
