"""The cached functions that a process knows, and those that share a name."""

import gc
import threading
from typing import Any

import pytest

from cache_invalidation import cached
from cache_invalidation.reads import functions
from cache_invalidation.reads.functions import by_name

SOURCE = """
from cache_invalidation import cached

@cached(name="functions.loaded")
def page():
    return 1
"""


def declared(value: Any, name: str) -> Any:
    @cached(name=name)
    def page() -> Any:
        return value

    return page


def loaded() -> Any:
    module: dict[str, Any] = {"__name__": "functions_loaded"}
    exec(compile(SOURCE, "functions_loaded.py", "exec"), module)
    return module["page"]


def clashes() -> set[str]:
    """Those of this module; other tests leave some to the collector."""
    gc.collect()
    return {name for name in functions.clashes() if name.startswith("functions.")}


def test_a_function_is_known_for_as_long_as_it_exists():
    page = declared(1, "functions.one")
    assert by_name()["functions.one"] is page
    del page
    gc.collect()
    assert "functions.one" not in by_name()


def test_methods_and_coroutines_are_known():
    class Shop:
        @cached(name="functions.method")
        def page(self) -> int:
            return 1

    @cached(name="functions.coroutine")
    async def page() -> int:
        return 1

    assert by_name()["functions.method"] is Shop.page
    assert by_name()["functions.coroutine"] is page


def test_of_two_with_one_name_the_last_is_meant():
    first, last = declared(1, "functions.two"), declared(2, "functions.two")
    assert by_name()["functions.two"] is last is not first


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1, 2), {"functions.shared"}),
        (([], []), {"functions.shared"}),  # They are equal now, and may be filled later.
        ((1, 1), set()),
    ],
)
def test_functions_clash_if_they_were_made_with_other_values(
    values: tuple[Any, ...], expected: set[str]
):
    pages = [declared(value, "functions.shared") for value in values]
    assert clashes() == expected
    assert pages


def test_functions_clash_if_their_code_differs():
    @cached(name="functions.code")
    def first() -> int:
        return 1

    @cached(name="functions.code")
    def second() -> int:
        return 2

    assert clashes() == {"functions.code"}
    assert first is not second


def test_callables_that_are_no_functions_clash_unless_they_are_the_same():
    class Page:
        __name__ = __qualname__ = "Page"

        def __call__(self) -> int:
            return 1

    page = Page()
    kept = [cached(name="functions.object")(page) for _ in range(2)]
    assert clashes() == set()
    kept.append(cached(name="functions.object")(Page()))
    assert clashes() == {"functions.object"}


def test_a_module_that_is_loaded_twice_is_no_clash():
    pages = loaded(), loaded()
    assert pages[0].uncached is not pages[1].uncached
    assert clashes() == set()


def test_a_value_from_around_that_is_not_there_yet_is_no_mistake():
    def declare() -> list[Any]:
        pages = [cached(name="functions.early")(lambda: later[0]) for _ in range(2)]
        assert clashes() == set()
        later: list[int] = [1]
        return pages

    assert [page.uncached() for page in declare()] == [1, 1]


def test_functions_are_declared_while_others_are_listed():
    """Lists and declares in two threads: what is listed changes under the reader's hands."""
    stop, errors, kept = threading.Event(), [], []

    def declare() -> None:
        while not stop.is_set():
            kept.append(declared(1, "functions.meanwhile"))

    thread = threading.Thread(target=declare)
    thread.start()
    try:
        for _ in range(200):
            try:
                by_name()
            except RuntimeError as error:
                errors.append(error)
    finally:
        stop.set()
        thread.join()
    assert errors == []
