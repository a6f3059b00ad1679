"""The kinds of writes; none changes what is cached, and none should drop it."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from django.contrib.auth.models import update_last_login
from django.db import transaction
from django.db.models import F

from tests.bookshop.models import Book, Comment, Tag
from tests.cursors import execute
from tests.precision.world import World


@dataclass(frozen=True)
class Write:
    """One kind of write. `about` is under which heading the page has it."""

    name: str
    title: str
    run: Callable[[World], object]

    def __str__(self) -> str:
        return self.name


def _save(world: World) -> None:
    book = world.other["book"]
    book.title = "other, revised"
    book.save()


def _update(world: World) -> None:
    world.objects(Book).filter(pk=world.other["book"].pk).update(price=F("price") + 1)


def _update_by_condition(world: World) -> None:
    world.objects(Book).filter(title="other").update(price=F("price") + 1)


def _sql(world: World) -> None:
    key = world.other["book"].pk
    execute(world.alias, "UPDATE bookshop_book SET price = 1 WHERE id = %s", [key])


def _delete(world: World) -> None:
    world.other["book"].delete()


def _bulk_create(world: World) -> None:
    category, author = world.other["category"], world.other["author"]
    world.objects(Book).bulk_create(
        Book(title=f"other {number}", category=category, author=author) for number in range(3)
    )


def _unread_column(world: World) -> None:
    world.objects(Book).filter(pk=world.mine["book"].pk).update(stock=F("stock") - 1)


def _nothing(world: World) -> None:
    world.objects(Book).get(pk=world.mine["book"].pk).save()


class _RolledBackError(Exception):
    pass


def _rolled_back(world: World) -> None:
    with suppress(_RolledBackError), transaction.atomic(using=world.alias):
        world.objects(Book).filter(pk=world.mine["book"].pk).update(title="never")
        raise _RolledBackError


def _login(world: World) -> None:
    update_last_login(type(world.mine["author"]), world.mine["author"])


def _rename_author(world: World) -> None:
    author = world.other["author"]
    author.name = "other, married"
    author.save()


def _add_tag(world: World) -> None:
    world.other["book"].tags.add(world.objects(Tag).create(name="new"))


def _rename_tag(world: World) -> None:
    world.objects(Tag).filter(pk=world.other["tag"].pk).update(name="other, spelled right")


def _comment(world: World) -> None:
    world.objects(Comment).create(text="new", target=world.other["book"])


def _rename_category(world: World) -> None:
    category = world.other["category"]
    category.name = "other, moved"
    category.save()


#: What is written of books.
BOOKS: Final = [
    Write("saved", "`save()` of another book", _save),
    Write("updated", "`update()` of others by key", _update),
    Write("condition", "`update()` of others by a condition", _update_by_condition),
    Write("sql", "`UPDATE` of another on a cursor", _sql),
    Write("deleted", "`delete()` of another", _delete),
    Write("created", "`bulk_create()` of others", _bulk_create),
    Write("stock", "`update()` of its stock, which is not shown", _unread_column),
    Write("nothing", "`save()` that changes nothing", _nothing),
    Write("undone", "a write that is rolled back", _rolled_back),
]
#: What is written of what hangs on them.
RELATED: Final = [
    Write("login", "a login of its author", _login),
    Write("author", "rename of another author", _rename_author),
    Write("tagged", "a tag added to another book", _add_tag),
    Write("tag", "rename of a tag of others", _rename_tag),
    Write("comment", "a comment on another book", _comment),
    Write("category", "rename of another category", _rename_category),
]
WRITES: Final = [*BOOKS, *RELATED]
