"""What may be decorated: functions with attributes, around others, and what is no function."""

import functools
import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync, iscoroutinefunction

from cache_invalidation import cached, invalidate
from cache_invalidation.reads.cached_functions import CachedCoroutine, CachedFunction
from tests.testapp.models import Category, Product


def around(function: Callable[..., Any]) -> Callable[..., Any]:
    """Hand on whatever it gets, as most decorators do."""

    @functools.wraps(function)
    def inner(*args: Any, **kwargs: Any) -> Any:
        return function(*args, **kwargs)

    return inner


def plus(number: float) -> Callable[[Any], Any]:
    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def inner(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs) + number

        return inner

    return decorate


def total(pk: Any, number: int = 1) -> tuple[Any, ...]:
    return (pk, number)


@functools.wraps(total)
def named_after_total(pk: int) -> int:
    return pk


def twice(call: Callable[[], Any]) -> Any:
    """Return the value of a hit, having seen that it is that of the miss."""
    missed = call()
    assert call() == missed
    return missed


class TestAttributes:
    def test_a_cached_function_around_another_one_is_itself(self):
        @cached()
        def net(pk: int) -> int:
            return pk

        @cached()
        @functools.wraps(net)
        def gross(pk: int) -> int:
            return net(pk) * 2

        assert [twice(lambda: net(3)), twice(lambda: gross(3))] == [3, 6]
        assert gross.uncached(3) == 6
        assert gross.key(3) != net.key(3)

    @pytest.mark.parametrize("first", ["net", "gross"])
    def test_it_does_not_matter_which_one_is_stored_first(self, first):
        def net(pk: int) -> int:
            return pk

        @cached()
        @functools.wraps(net)
        def gross(pk: int) -> int:
            return net(pk) * 2

        inner = cached()(net)
        calls = {"net": (inner, 3), "gross": (gross, 6)}
        for name in (first, *calls):
            function, value = calls[name]
            assert function(3) == value

    def test_what_is_declared_around_a_cached_function_counts(self):
        values = [1]

        @cached(timeout=60, tags=["inner"])
        def net() -> int:
            return values[0]

        outer = cached(name="short", timeout=1, tags=["rate"], sample=0.5, lock=True)(net)
        assert outer.signature.name == "short"
        assert (outer.timeout, outer.sample, outer.lock) == (1, 0.5, True)
        assert outer.tags.sources == ("rate",)
        assert twice(outer) == 1
        values[0] = 2
        invalidate(tags=["rate"])
        assert outer() == 1  # From net(), which has not heard of it.
        invalidate(tags=["inner"])
        assert outer() == 2

    def test_without_a_name_it_has_entries_of_its_own(self):
        @cached()
        def net(pk: int) -> int:
            return pk

        outer, outermost = cached(tags=["rate"])(net), cached()(cached(tags=["rate"])(net))
        assert len({net.key(1), outer.key(1), outermost.key(1)}) == 3
        assert twice(lambda: outer(1)) == twice(lambda: outermost(1)) == 1

    @pytest.mark.parametrize("decorate", [around, plus(1)])
    def test_a_decorator_around_a_cached_function_can_be_cached(self, decorate):
        @cached()
        def net(pk: int) -> int:
            return pk

        outer = cached()(decorate(net))
        assert outer.key(1) != net.key(1)
        assert twice(lambda: net(1)) == 1
        assert twice(lambda: outer(1)) == decorate(lambda pk: pk)(1)

    @pytest.mark.parametrize(
        "name",
        [
            *("uncached", "signature", "tags", "records", "timeout", "lock", "sample"),
            *("key", "invalidate", "refresh", "_spelled", "_told", "_read", "_compute", "_drop"),
        ],
    )
    def test_an_attribute_called_like_one_of_ours_changes_nothing(self, name):
        def page(pk: int) -> int:
            return pk

        setattr(page, name, "theirs")
        page.short_description = "Page"  # type: ignore[attr-defined]
        function = cached()(page)
        assert twice(lambda: function(3)) == function.refresh(3) == 3
        function.invalidate(3)
        assert getattr(function, name) != "theirs"
        assert getattr(function.uncached, name) == "theirs"
        assert vars(function)["short_description"] == "Page"

    def test_what_is_ours_does_not_travel_to_what_is_put_around_it(self):
        @cached(tags=["a"])
        def page(pk: int) -> int:
            """Return it."""
            return pk

        page.theirs = 1  # type: ignore[attr-defined]
        outer: Any = around(page)
        assert outer.theirs == 1
        assert not hasattr(outer, "tags")
        assert (page.__name__, page.__doc__) == ("page", "Return it.")
        assert inspect.unwrap(outer) is page.uncached

    def test_a_function_around_a_coroutine_function_is_no_coroutine_function(self):
        @cached(name="decorated.inner")
        async def page(pk: int) -> int:
            return pk

        @cached(name="decorated.outer")
        @functools.wraps(page)
        def outer(pk: int) -> int:
            return async_to_sync(page)(pk) * 2

        assert iscoroutinefunction(page)
        assert not iscoroutinefunction(outer)
        assert twice(lambda: outer(3)) == 6

    def test_a_cached_coroutine_function_can_be_cached(self):
        @cached()
        async def page(pk: int) -> int:
            return pk

        outer = cached(name="decorated.coroutine")(page)
        assert isinstance(outer, CachedCoroutine)
        assert twice(lambda: async_to_sync(outer)(3)) == 3


class TestNames:
    def test_a_decorated_function_goes_by_its_own_name(self):
        assert cached()(around(total)).signature.name == f"{__name__}.total"

    def test_a_function_of_a_module_does_not_go_by_that_of_another_one(self):
        function = cached()(named_after_total)
        assert function.signature.name == f"{__name__}.named_after_total"

    @pytest.mark.parametrize(
        "others", [(around, plus(1)), (plus(1), plus(2)), (lambda f: f, plus(1))]
    )
    def test_two_that_go_by_the_name_of_one_are_refused(self, others):
        def page(pk: int) -> int:
            return pk

        one, other = (decorate(page) for decorate in others)
        kept = cached()(one)
        with pytest.raises(TypeError, match="pass name="):
            cached()(other)
        renamed = cached(name="decorated.other")(other)
        assert kept.key(1) != renamed.key(1)

    def test_what_does_the_same_may_be_declared_again(self):
        def page(pk: int) -> int:
            return pk

        kept = [cached()(decorate(page)) for decorate in (around, around)]
        assert kept[0].key(1) == kept[1].key(1)
        kept += [cached(name="decorated.again")(plus(1.5)(page)) for _ in range(2)]
        assert kept[2].key(1) == kept[3].key(1)

    @pytest.mark.parametrize(
        "nameless",
        [
            functools.partial(total, 1),
            functools.update_wrapper(functools.partial(total, 1), total),
            lambda: 1,
        ],
    )
    def test_what_has_no_name_of_its_own_needs_one(self, nameless):
        with pytest.raises(TypeError, match="pass name="):
            cached()(nameless)

    def test_a_partial_with_a_name_is_a_function(self):
        one = cached(name="decorated.one")(functools.partial(total, 1))
        two = cached(name="decorated.two")(functools.partial(total, 2, number=3))
        assert twice(one) == (1, 1)
        assert twice(lambda: one(number=5)) == (1, 5)
        assert twice(two) == (2, 3)

    def test_a_callable_object_with_a_name_is_a_function(self):
        class Page:
            def __call__(self, pk: int) -> int:
                return pk

        class Later:
            async def __call__(self, pk: int) -> int:
                return pk

        with pytest.raises(TypeError, match="pass name="):
            cached()(Page())
        page, later = cached(name="decorated.page")(Page()), cached(name="decorated.later")(Later())
        assert twice(lambda: page(3)) == 3
        assert twice(lambda: async_to_sync(later)(3)) == 3

    def test_the_method_of_one_object_is_not_taken_for_that_of_another(self):
        class Page:
            def __init__(self, number: int) -> None:
                self.number = number

            def plain(self) -> int:
                return self.number

            @cached(name="decorated.kept")
            def kept(self) -> int:
                return 1

        one, other = Page(1), Page(2)
        function = cached()(one.plain)
        assert twice(function) == twice(cached()(one.plain)) == 1
        with pytest.raises(TypeError, match="pass name="):
            cached()(other.plain)
        assert twice(cached(name="decorated.other-object")(other.plain)) == 2
        with pytest.raises(TypeError, match="pass name="):
            cached()(one.kept)

    def test_what_is_there_no_more_is_in_nobodys_way(self):
        class Page:
            def plain(self) -> int:
                return 1

        function = cached()(Page().plain)
        function.itself = function  # type: ignore[attr-defined]
        del function
        assert cached()(Page().plain)() == 1


class TestParameters:
    def test_what_a_decorator_hands_on_is_spelled_like_what_it_hands_it_to(self):
        function = cached(name="decorated.spelled")(around(total))
        assert function.key(1) == function.key(pk=1)
        assert function.key(1, 1) == function.key(1, number=1) != function.key(1)
        assert cached(name="decorated.tags", tags=["a:{pk}"])(around(total))(3) == (3, 1)

    def test_a_decorator_may_hand_on_positional_or_keyword_arguments_alone(self):
        @functools.wraps(total)
        def in_order(*args: Any) -> Any:
            return total(*args)

        @functools.wraps(total)
        def by_name(**kwargs: Any) -> Any:
            return total(**kwargs)

        function = cached(name="decorated.in order", tags=["a:{pk}"])(in_order)
        assert function(3) == function(3) == (3, 1)
        assert function.key(3) != function.key(3, 1)
        function = cached(name="decorated.by name", tags=["a:{pk}"])(by_name)
        assert function(pk=3) == function(number=1, pk=3) == (3, 1)

    def test_a_default_is_that_of_the_function_which_is_called(self):
        @cached(name="decorated.default")
        @functools.wraps(total)
        def outer(pk: int = 5) -> tuple[Any, ...]:
            return total(pk)

        @functools.wraps(outer)
        def with_one(pk: int = 1) -> Any:
            return outer(pk)

        function = cached(name="decorated.one-by-default")(with_one)
        assert twice(outer) == (5, 1)
        assert outer(1) == (1, 1)
        assert twice(function) == (1, 1)
        assert function(5) == (5, 1)

    def test_parameters_that_the_inner_one_does_not_have_are_parameters(self):
        @cached(name="decorated.more")
        @functools.wraps(total)
        def outer(pk: int, factor: int) -> tuple[Any, ...]:
            return total(pk * factor)

        assert twice(lambda: outer(2, 3)) == (6, 1)
        assert twice(lambda: outer(2, 4)) == (8, 1)

    def test_an_argument_that_a_decorator_adds_need_not_be_passed(self):
        def injects(function: Callable[..., Any]) -> Callable[..., Any]:
            @functools.wraps(function)
            def inner(*args: Any, **kwargs: Any) -> Any:
                return function("added", *args, **kwargs)

            return inner

        def page(added: str, pk: int) -> tuple[str, int]:
            return added, pk

        with pytest.raises(TypeError, match="names 'pk', and they do not say"):
            cached(name="decorated.tagged", tags=["a:{pk}"])(injects(page))(3)
        function = cached()(injects(page))
        assert twice(lambda: function(3)) == ("added", 3)
        assert twice(lambda: function(4)) == ("added", 4)

    def test_one_argument_that_is_a_tuple_is_not_several(self):
        def page(args: Any, **options: Any) -> Any:
            return args

        function = cached()(around(page))
        key = function.key((1, 2))
        with pytest.raises(TypeError):
            function.uncached(1, 2)
        assert function.key(1, 2) != key

    def test_a_signature_that_was_copied_is_not_taken_for_the_own_one(self):
        def page(pk: int = 1) -> int:
            return pk

        page.__signature__ = inspect.signature(page)  # type: ignore[attr-defined]

        @cached(name="decorated.copied")
        @functools.wraps(page)
        def outer(pk: int = 5, *, by: int = 2) -> int:
            return pk * by

        assert twice(outer) == 10
        assert outer(1) == 2
        assert outer(1, by=3) == 3

    def test_a_decorator_that_puts_something_in_front_of_the_arguments(self):
        def with_connection(function: Any) -> Any:
            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                return function("connection", *args, **kwargs)

            return wrapper

        @cached(name="decorated.front")
        @with_connection
        def find(connection: str, a: int = 0, b: int = 5) -> Any:
            return a, b

        assert twice(lambda: find(1)) == (1, 5)
        assert twice(lambda: find(1, 0)) == (1, 0)

    def test_functions_that_are_chosen_by_their_argument_have_their_own_defaults(self):
        @functools.singledispatch
        def show(value: Any, unit: str = "m") -> Any:
            return value, unit

        @show.register
        def _(value: str, unit: str = "none") -> Any:
            return value, unit

        shown = cached(name="decorated.dispatch")(show)
        assert twice(lambda: shown("x", "m")) == ("x", "m")
        assert twice(lambda: shown("x")) == ("x", "none")

    @pytest.mark.parametrize("method", [",".join, dict.get, [].index], ids=["join", "get", "index"])
    def test_a_method_of_a_builtin_type_has_no_name_of_its_own(self, method: Any):
        with pytest.raises(TypeError, match="pass name="):
            cached()(method)

    def test_a_builtin_that_does_not_say_what_it_takes_is_refused(self):
        with pytest.raises(TypeError, match="wrap it in a function"):
            cached()(max)


class Methods:
    @classmethod
    def by_class(cls) -> int:
        return 1

    @staticmethod
    def static(pk: int) -> int:
        return pk


async def pages() -> Any:
    yield 1


def rows() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("wrong", "cure"),
    [
        (300, r"write @cached\(timeout=300\)"),
        (1.5, r"write @cached\(timeout=1.5\)"),
        (timedelta(minutes=5), "write @cached\\(timeout=datetime.timedelta"),
        ("category:3", r"@cached\(tags=\[…\]\)"),
        (["category:3"], r"@cached\(tags=\[…\]\)"),
        (Product, r"write @cached\(tags=\[Product\]\)"),
        (Product(pk=1), r"@cached\(tags=\[…\]\)"),
        (Methods, "decorate its methods"),
        (vars(Methods)["by_class"], r"put @cached\(\) below classmethod"),
        (vars(Methods)["static"], r"put @cached\(\) below staticmethod"),
        (property(lambda self: 1), r"put @cached\(\) below property"),
        (functools.cached_property(total), r"put @cached\(\) below cached_property"),
        (functools.partialmethod(total, 1), r"put @cached\(\) below partialmethod"),
        (rows, "return a list"),
        (functools.partial(rows), "return a list"),
        (pages, "a coroutine that returns a list"),
        (Product.objects, "leave it out, as in @cached"),
        (object(), "it cannot be called"),
        (functools.lru_cache(total), r"leave lru_cache\(\) or cache\(\) out"),
        (functools.wraps(functools.cache(total))(lambda pk: pk), "leave lru_cache"),
    ],
)
def test_what_cannot_be_cached_is_refused_with_the_cure(wrong, cure):
    with pytest.raises(TypeError, match=f"cached.. decorates functions, not .*{cure}"):
        cached(wrong)
    with pytest.raises(TypeError, match=cure):
        cached(name="decorated.wrong")(wrong)


def test_below_a_descriptor_it_works():
    class Shop:
        name = "shop"

        @staticmethod
        @cached(name="decorated.static")
        def static(pk: int) -> int:
            return pk

        @classmethod
        @cached(name="decorated.class")
        def of_model(cls: Any, model: Any) -> str:
            return str(model._meta.label)

        @property
        @cached(name="decorated.property")
        def first(self) -> Any:
            raise NotImplementedError

    assert twice(lambda: Shop.static(3)) == twice(lambda: Shop().static(3)) == 3
    assert isinstance(Shop.static, CachedFunction)
    # Whatever class methods are bound by, which is not the same in all versions of Python.
    assert isinstance(Shop.of_model.__func__, CachedFunction)  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="only models"):
        Shop.of_model(Category)  # type: ignore[call-arg]
