"""SQLite shows a connection one state of the database until a query is read to its end."""

from collections.abc import Callable

import pytest

from cache_invalidation import cached
from tests.elsewhere import elsewhere
from tests.testapp.models import Category, Tag

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


@pytest.fixture(autouse=True)
def rows() -> None:
    Tag.objects.using("sqlite").bulk_create(Tag(name=str(number)) for number in range(500))
    Category.objects.using("sqlite").create(name="old")


def names() -> list[str]:
    return list(Category.objects.using("sqlite").values_list("name", flat=True))


def rename() -> None:
    Category.objects.using("sqlite").update(name="new")


@cached(name="unread.found")
def found() -> list[str]:
    return names()


@cached(name="unread.declared", tags=[Category])
def declared() -> list[str]:
    return names()


@pytest.mark.parametrize("read", [found, declared], ids=["found", "declared"])
def test_what_is_computed_meanwhile_is_not_stored(read: Callable[[], list[str]]) -> None:
    tags = Tag.objects.using("sqlite").iterator(chunk_size=10)
    next(tags)
    elsewhere(rename)
    assert read() == ["old"]  # As without a cache.
    tags.close()  # type: ignore[attr-defined]
    assert read() == ["new"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(read, "uncached", lambda: ["computed"])
        assert read() == ["new"]


def test_a_function_that_reads_in_a_loop_over_rows_is_stored_the_second_time() -> None:
    @cached(name="unread.loop")
    def loop() -> list[str]:
        for _ in Tag.objects.using("sqlite").iterator(chunk_size=10):
            seen = names()
        return seen

    loop()
    loop()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loop, "uncached", lambda: ["computed"])
        assert loop() == ["old"]
