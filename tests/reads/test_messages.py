"""What cached functions say, to whom, and how often."""

import inspect
import logging
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.db import connection
from django.http import HttpResponse, StreamingHttpResponse
from django.template import Context, Engine
from rest_framework.response import Response

from cache_invalidation import cached
from cache_invalidation.exceptions import CacheDependencyWarning, UnstorableValue
from tests.testapp.models import Category, Product, Tag

pytestmark = pytest.mark.django_db(transaction=True)


async def later() -> int:
    return 1


async def pieces() -> Any:
    yield 1


UNSTORABLE: list[tuple[Callable[[], Any], str]] = [
    (lambda: (each for each in "ab"), r"it is a generator; return a list of what is in it, list\("),
    (lambda: [{"rows": (each for each in "ab")}], r"in it is a generator; return a list"),
    (lambda: {"a": 1}.values(), r"it is a dict_values; return a list"),
    (lambda: Response({"a": 1}), "return its .data, and make the response"),
    (
        lambda: StreamingHttpResponse(each for each in "a"),
        "return what it is made from, and make the response",
    ),
    (pieces, "each async for each in"),
    (lambda: lambda: 1, r"it is a function \(.*\); return plain values"),
]


@pytest.mark.parametrize(("make", "cure"), UNSTORABLE)
class TestValuesThatCannotBeStored:
    def test_it_is_said_once_for_each_function_and_with_the_cure(self, make, cure, caplog):
        @cached(tags=["a"])
        def page(pk: int) -> Any:
            return make()

        @cached(tags=["a"])
        def other() -> Any:
            return make()

        for pk in (1, 2, 1):
            page(pk)
        said = [record for record in caplog.records if "page()" in record.getMessage()]
        assert [record.levelno for record in said] == [logging.ERROR]
        assert said[0].exc_info is None
        assert inspect.cleandoc(said[0].getMessage()).count("\n") == 0
        assert "returned a value that cannot be stored: " in said[0].getMessage()
        with pytest.raises(AssertionError, match=cure):
            raise AssertionError(said[0].getMessage())
        other()
        assert len(caplog.records) == 2

    def test_under_debug_it_is_an_error(self, make, cure, settings, caplog):
        settings.DEBUG = True

        @cached(tags=["a"], lock=True)
        def page() -> Any:
            return make()

        @cached(tags=["a"])
        async def apage() -> Any:
            return make()

        for _ in range(2):  # Nobody waits for the lock of the first one.
            with pytest.raises(UnstorableValue, match=cure):
                page()
            with pytest.raises(UnstorableValue, match=cure):
                async_to_sync(apage)()
        assert caplog.records == []


def test_a_coroutine_that_nobody_awaits_is_said(caplog):
    @cached(name="messages.later", tags=["a"])
    def page() -> Any:
        return later()

    async def awaited() -> Any:
        return await page()

    assert async_to_sync(awaited)() == 1
    assert "decorate the coroutine function itself" in caplog.text


def test_a_response_that_can_be_stored_is_stored(caplog):
    @cached(tags=["a"])
    def page() -> Any:
        return HttpResponse("a")

    assert page().content == page().content == b"a"
    assert caplog.records == []


class TestWarnings:
    """They point at the line that called, and not into the package."""

    def said(self, call: Callable[[], Any]) -> list[warnings.WarningMessage]:
        with warnings.catch_warnings(record=True) as found:
            warnings.simplefilter("always")
            call()
        assert found
        assert {each.category for each in found} == {CacheDependencyWarning}
        return found

    def here(self) -> int:
        frame = inspect.currentframe()
        assert frame is not None
        assert frame.f_back is not None
        return frame.f_back.f_lineno

    def test_at_the_caller(self):
        @cached(tags=[Tag])
        def page() -> Any:
            return list(Product.objects.all())

        lines = []

        def call() -> None:
            lines.append(self.here() + 1)
            page()
            lines.append(self.here() + 1)
            page.refresh()

        found = self.said(call)
        assert [(each.filename, each.lineno) for each in found] == [(__file__, n) for n in lines]

    def test_at_the_caller_of_a_method_and_of_one_inside_of_another(self, monkeypatch):
        @cached(tags=[Tag])
        def page(product: Any) -> Any:
            return list(Product.objects.all())

        monkeypatch.setattr(Product, "page", page, raising=False)

        @cached(tags=[Tag])
        def inner() -> Any:
            return list(Category.objects.all())

        lines = []

        @cached(tags=[Tag])
        def outer() -> Any:
            lines.append(self.here() + 1)
            return inner()

        found = self.said(outer)
        assert [(each.filename, each.lineno) for each in found] == [(__file__, lines[0])]

        def call() -> None:
            lines.append(self.here() + 1)
            Product(pk=1).page()  # type: ignore[attr-defined]

        found = self.said(call)
        assert [(each.filename, each.lineno) for each in found] == [(__file__, lines[1])]

    def test_at_the_caller_of_a_coroutine_function(self):
        @cached(tags=[Tag])
        async def page() -> Any:
            return [each async for each in Product.objects.all()]

        found = self.said(lambda: async_to_sync(page)())
        assert [each.filename for each in found] == [__file__]

    def test_in_a_thread_of_its_own_at_the_function(self):
        @cached(tags=[Tag])
        def page() -> Any:
            try:
                return list(Product.objects.all())
            finally:
                connection.close()

        def call() -> None:
            with ThreadPoolExecutor(1) as pool:
                pool.submit(page).result()

        (found,) = self.said(call)
        assert found.filename == __file__
        assert found.lineno == page.uncached.__code__.co_firstlineno

    def test_at_a_caller_that_is_in_no_module(self):
        @cached(tags=[Tag])
        def page() -> Any:
            return list(Product.objects.all())

        (found,) = self.said(lambda: exec(compile("page()", "typed in", "exec"), {"page": page}))
        assert (found.filename, found.lineno) == ("typed in", 1)

    def test_in_a_template_not_into_the_package(self):
        @cached(tags=[Tag])
        def page() -> Any:
            return list(Product.objects.all())

        template = Engine().from_string("{{ page }}")
        (found,) = self.said(lambda: template.render(Context({"page": page})))
        assert "cache_invalidation/cache_invalidation" not in found.filename


def test_a_function_that_writes_is_told_that_it_does():
    @cached()
    def tag(name: str) -> Any:
        return Tag.objects.get_or_create(name=name)[0].pk

    with pytest.warns(CacheDependencyWarning) as caught:
        pk = tag("new")
    (message,) = [str(each.message) for each in caught]
    assert "tag() is not stored: it has written to testapp.Tag" in message
    assert "INSERT" not in message
    assert tag("new") == tag("new") == pk
    Tag.objects.all().delete()
    with pytest.warns(CacheDependencyWarning):
        assert tag("new") != pk
