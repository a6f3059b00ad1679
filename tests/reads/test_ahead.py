"""`cached(refresh=True)`: what is about to expire is computed anew while its reader goes on."""

import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from datetime import timedelta
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.core.cache import caches
from django.db import connection, connections, transaction
from django.utils import timezone, translation

import cache_invalidation
from cache_invalidation import cached, no_invalidation
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.reads import ahead, recomputing
from cache_invalidation.reads import background as threads
from cache_invalidation.reads.background import background, context_of_caller
from cache_invalidation.reads.dependencies import running
from cache_invalidation.reads.kept_calls import stored_at
from cache_invalidation.stores import get_store
from tests import tenants
from tests.contrib.refreshing import sent
from tests.elsewhere import elsewhere
from tests.reads.aging import TIMEOUT, aged, hit_when_due, nothing_begun, refreshed, settle
from tests.stores.steps import PATIENCE
from tests.testapp.models import Category, Product

__all__ = ["nothing_begun"]

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])

NAME = "ahead.function"

numbers = count()


@pytest.fixture
def product() -> Product:
    return Product.objects.create(name="old")


class Gate:
    """Where the background waits until the test lets it go on."""

    def __init__(self) -> None:
        self.reached, self.opened = threading.Event(), threading.Event()

    def __call__(self) -> None:
        self.reached.set()
        assert self.opened.wait(PATIENCE), "nobody opened the gate"

    def await_reached(self) -> None:
        assert self.reached.wait(PATIENCE), "nobody came to the gate"


@pytest.fixture
def held(monkeypatch: Any) -> Iterator[Gate]:
    """The moment at which the background is about to begin."""
    gate = Gate()
    real = ahead.refresh

    def wait(due: ahead.Due) -> None:
        gate()
        real(due)

    monkeypatch.setattr(ahead, "refresh", wait)
    yield gate
    gate.opened.set()


def in_background() -> bool:
    return threading.current_thread().name == "cache_invalidation"


def counting(**options: Any) -> Any:
    """A function that returns how often it was called before, and depends on the products."""
    calls = count()

    @cached(timeout=TIMEOUT, refresh=True, name=NAME, **options)
    def function(*args: Any) -> int:
        Product.objects.count()
        return next(calls)

    return function


def test_only_the_last_tenth_of_the_timeout_is_a_reason():
    function = counting()
    function()
    for share in (0.0, 0.5, 0.89, 1.01):
        with aged(share):
            assert function() == 0
        ahead._turns._next.clear()
        settle()
    assert refreshed(NAME) == {}


def test_the_reader_has_the_old_value_and_the_next_one_the_new():
    function = counting()
    assert function() == 0
    before = stored_at(entry_of(function).payload)
    assert hit_when_due(function) == 0
    settle()
    assert function() == 1
    assert refreshed(NAME) == {"stored": 1}
    assert (stored_at(entry_of(function).payload) or 0) > (before or 0)


def entry_of(function: Any, *args: Any) -> Any:
    store = get_store()
    return store.lookup(store.entry_place(function.key(*args)), ()).entry


def test_it_depends_on_what_is_read_and_can_be_refreshed_again(product):
    @cached(timeout=TIMEOUT, refresh=True, name=NAME)
    def function(pk: int) -> Any:
        return next(numbers), Product.objects.get(pk=pk).name

    first = function(product.pk)
    for _ in range(2):
        assert hit_when_due(function, product.pk) == first
        settle()
        assert function(product.pk) != first
        first = function(product.pk)
    Product.objects.filter(pk=product.pk).update(name="new")
    assert function(product.pk)[1] == "new"
    assert refreshed(NAME) == {"stored": 2}


def test_coroutine_functions_are_refreshed_as_well():
    calls = count()

    @cached(timeout=TIMEOUT, refresh=True, name=NAME)
    async def function(number: int) -> int:
        await Product.objects.acount()
        return next(calls)

    async def twice() -> None:
        assert await function(1) == 0
        with aged():
            assert await function(1) == 0

    async_to_sync(twice)()
    settle()
    assert async_to_sync(function)(1) == 1
    assert refreshed(NAME) == {"stored": 1}


def test_rows_among_the_arguments_are_read_anew(product):
    @cached(timeout=TIMEOUT, refresh=True, tags=[], name=NAME)
    def function(row: Product) -> str:
        return row.name

    assert function(product) == "old"
    with no_invalidation():
        Product.objects.filter(pk=product.pk).update(name="new")
    assert hit_when_due(function, product) == "old"
    settle()
    assert function(product) == "new"


shop: ContextVar[Product] = ContextVar("shop")


@pytest.mark.parametrize("declared", [True, False])
def test_a_write_between_the_hit_and_the_background_wins(product, held, declared):
    """What the reader has at hand is as old as his hit; sealed anew it would be stale for good."""
    tags = ["testapp.product:{pk}"] if declared else None

    @cached(timeout=TIMEOUT, refresh=True, name=NAME, tags=tags)
    def function(pk: int) -> str:
        if in_background():
            Product.objects.filter(pk=pk).exists()
            return shop.get().name
        return Product.objects.get(pk=pk).name

    shop.set(Product.objects.get(pk=product.pk))
    assert function(product.pk) == "old"
    assert hit_when_due(function, product.pk) == "old"
    held.await_reached()
    Product.objects.filter(pk=product.pk).update(name="new")
    held.opened.set()
    settle()
    assert function(product.pk) == "new"
    assert refreshed(NAME) == {"refused": 1}


def test_so_does_one_to_what_is_not_read_any_more(product, held):
    other = Product.objects.create(name="other")

    @cached(timeout=TIMEOUT, refresh=True, name=NAME)
    def function() -> str:
        if in_background():
            other.refresh_from_db()
            return shop.get().name
        return Product.objects.get(pk=product.pk).name

    shop.set(Product.objects.get(pk=product.pk))
    function()
    hit_when_due(function)
    held.await_reached()
    Product.objects.filter(pk=product.pk).update(name="new")
    held.opened.set()
    settle()
    assert function() == "new"


WRITES: dict[str, Callable[[Any, Product], Any]] = {
    "a write": lambda function, product: Product.objects.filter(pk=product.pk).update(name="new"),
    "by name": lambda function, product: function.invalidate(product.pk),
}


@pytest.mark.parametrize("how", WRITES)
@pytest.mark.parametrize("after_query", [True, False])
def test_an_invalidation_during_a_refresh_wins(product, how, after_query):
    gate = Gate()

    @cached(timeout=TIMEOUT, refresh=True, name=NAME)
    def function(pk: int) -> str:
        if in_background() and not after_query:
            gate()
        name = Product.objects.get(pk=pk).name
        if in_background() and after_query:
            gate()
        return name

    function(product.pk), hit_when_due(function, product.pk)
    gate.await_reached()
    WRITES[how](function, product)
    gate.opened.set()
    settle()
    assert refreshed(NAME) == {"refused": 1}
    assert entry_of(function, product.pk) is None or how == "a write"
    assert function(product.pk) == Product.objects.get(pk=product.pk).name


def test_language_time_zone_and_the_projects_own_variables_are_kept():
    found: list[Any] = []

    @cached(timeout=TIMEOUT, refresh=True, vary_on=["language", "timezone"], name=NAME)
    def function() -> None:
        if in_background():
            zone = timezone.get_current_timezone()
            found.append((translation.get_language(), zone, tenants.tenant.get()))

    zone = timezone.get_fixed_timezone(90)
    with translation.override("de"), timezone.override(zone), tenants.serving("first"):
        function(), hit_when_due(function)
        settle()
    assert found == [("de", zone, "first")]
    assert refreshed(NAME) == {"stored": 1}


def test_what_this_package_is_in_the_middle_of_is_left_behind():
    found = []

    @cached(timeout=TIMEOUT, refresh=True, name=NAME)
    def inner() -> int:
        if in_background():
            found.append(running.get())
            Category.objects.create(name="written in the background")
        return Category.objects.count()

    @cached(name="ahead.outer")
    def outer(number: int) -> Any:
        return hit_when_due(inner)

    @cached(name="ahead.categories")
    def categories() -> int:
        return Category.objects.count()

    inner(), categories()
    with no_invalidation():
        outer(1)
        settle()
    assert found[0] is not None  # Its own.
    assert categories() == 1


def test_no_variable_of_the_package_is_taken_along():
    package = Path(cache_invalidation.__file__).parent
    text = "\n".join(path.read_text() for path in package.rglob("*.py"))
    names = re.findall(r"= ContextVar\(\s*(.*?)[,)]", text)
    assert len(names) == text.count("= ContextVar(") > 10
    assert [name for name in names if not name.startswith('"cache_invalidation_')] == []
    with translation.override("de"), tenants.serving("first"), no_invalidation():
        found = {variable.name for variable in context_of_caller()}
    assert "tenant" in found
    assert not any(name.startswith(("cache_invalidation_", "asgiref.")) for name in found)


@pytest.fixture
def tenants_cache(settings: Any) -> None:
    configured = settings.CACHES["default"] | {"KEY_FUNCTION": "tests.reads.test_ahead.by_thread"}
    settings.CACHES = settings.CACHES | {"default": configured}
    caches["default"].clear()


local = threading.local()


def by_thread(key: str, prefix: str, version: int) -> str:
    return f"{getattr(local, 'tenant', 'nobody')}:{prefix}:{version}:{key}"


@pytest.mark.usefixtures("tenants_cache")
def test_nothing_is_refreshed_for_somebody_else():
    local.tenant = "first"
    try:
        function = counting()
        function(), hit_when_due(function)
        settle()
        assert function() == 0
        assert refreshed(NAME) == {"elsewhere": 1}
    finally:
        del local.tenant


def test_nor_for_another_value_of_what_it_varies_on():
    function = counting(vary_on=by_local)
    local.tenant = "first"
    try:
        function(), hit_when_due(function)
        settle()
        assert refreshed(NAME) == {"elsewhere": 1}
    finally:
        del local.tenant


def by_local() -> str:
    return getattr(local, "tenant", "nobody")


def test_not_in_a_transaction_that_has_written():
    function = counting()
    function()
    with transaction.atomic():
        Category.objects.create(name="a")
        assert hit_when_due(function) == 0
        settle()
    assert refreshed(NAME) == {}
    with transaction.atomic():
        assert hit_when_due(function) == 0
        settle()
    assert refreshed(NAME) == {"stored": 1}


def test_nor_from_a_snapshot():
    function = counting()
    function()
    with transaction.atomic(using="sqlite"):
        Product.objects.using("sqlite").count()
        hit_when_due(function)
        settle()
    with transaction.atomic():
        connection.cursor().execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        hit_when_due(function)
        settle()
    assert refreshed(NAME) == {}


def test_one_that_fails_is_logged_once_and_the_value_stays(caplog):
    @cached(timeout=TIMEOUT, refresh=True, name=NAME)
    def function(number: int) -> str:
        if in_background():
            raise RuntimeError("no")
        return "value"

    for number in range(3):
        function(number), hit_when_due(function, number)
        settle()
        assert function(number) == "value"
    errors = [each for each in caplog.records if each.levelno >= logging.ERROR]
    assert len(errors) == 1
    assert "could not be refreshed" in errors[0].getMessage()
    assert refreshed(NAME) == {"failed": 3}
    # The lock is kept for a while, so that not every hit tries again.
    hit_when_due(function, 0)
    settle()
    assert refreshed(NAME) == {"failed": 3}


def test_of_what_comes_at_the_same_time_one_is_refreshed(held):
    function = counting()
    function()
    for _ in range(5):
        hit_when_due(function)
    held.await_reached()
    held.opened.set()
    settle()
    assert (refreshed(NAME), function()) == ({"stored": 1}, 1)


def test_somebody_elses_turn_is_left_to_him():
    function = counting()
    function()
    place = get_store().entry_place(function.key())
    assert recomputing.turn_for(place, None)
    hit_when_due(function)
    settle()
    assert (refreshed(NAME), function()) == ({}, 0)


def test_the_lock_is_given_back():
    function = counting()
    function(), hit_when_due(function)
    settle()
    assert recomputing.turn_for(get_store().entry_place(function.key()), None)


def test_what_does_not_fit_is_dropped_and_counted(held):
    function = counting()
    room = threads.THREADS + threads.QUEUE
    for number in range(room + 3):
        function(number)
    hit_when_due(function, 0)
    held.await_reached()
    for number in range(1, room + 3):
        hit_when_due(function, number)
    found = refreshed(NAME)["dropped"]
    assert 3 <= found <= 3 + threads.THREADS  # Whether a thread has taken the second one yet.
    held.opened.set()
    settle()
    assert refreshed(NAME) == {"dropped": found, "stored": room + 3 - found}


def test_connections_are_closed():
    found: list[Any] = []

    @cached(timeout=TIMEOUT, refresh=True, name=NAME)
    def function() -> int:
        number = Product.objects.count()
        if in_background():
            found.append(connections["default"])
        return number

    function(), hit_when_due(function)
    settle()
    assert found
    assert found[0].connection is None


def test_other_functions_keep_nothing_with_their_values():
    @cached(timeout=TIMEOUT, name=NAME)
    def function() -> int:
        return Product.objects.count()

    function()
    assert stored_at(entry_of(function).payload) is None


def test_what_was_stored_before_is_not_refreshed():
    def function() -> int:
        return Product.objects.count()

    cached(timeout=TIMEOUT, name=NAME)(function)()
    hit_when_due(cached(timeout=TIMEOUT, refresh=True, name=NAME)(function))
    settle()
    assert refreshed(NAME) == {}


def test_a_store_that_is_down_harms_nobody(monkeypatch, caplog):
    function = counting()
    function()
    monkeypatch.setattr(ahead, "_send", lambda read: 1 / 0)
    assert hit_when_due(function) == 0
    assert refreshed(NAME) == {"failed": 1}


def test_a_queue_gets_one_message_and_works_on_it_later(settings):
    function = counting()
    (message,) = sent(settings, function)
    ahead.refresh_message(message)
    assert (function(), refreshed(NAME)) == (1, {"stored": 1})
    ahead.refresh_message(message)  # A queue may deliver twice.
    assert (function(), refreshed(NAME)) == (1, {"stored": 1, "refused": 1})


@pytest.mark.parametrize("how", ["written", "gone", "unknown"])
def test_a_worker_that_comes_late_stores_nothing(settings, how):
    function = counting()
    (message,) = sent(settings, function)
    if how == "written":
        Product.objects.create(name="a")
    elif how == "gone":
        function.invalidate()
    ahead.refresh_message(message | ({"name": "nobody"} if how == "unknown" else {}))
    found = refreshed("nobody" if how == "unknown" else NAME)
    assert found == {"elsewhere" if how == "unknown" else "refused": 1}
    assert function() == (0 if how == "unknown" else 1)


def test_a_queue_that_fails_is_left_alone_for_a_while(settings):
    settings.CACHE_INVALIDATION = {"REFRESH": f"{__name__}.{breaks_the_transaction.__name__}"}
    function = counting()
    for number in range(3):
        function(number)
        hit_when_due(function, number)
    assert (len(broken), refreshed(NAME)) == (1, {"failed": 1})
    ahead._turns._rests_until = 0.0
    hit_when_due(function, 1)  # Nobody has taken the lock for it.
    assert len(broken) == 2
    broken.clear()


@pytest.mark.parametrize("how", ["ends", "is rolled back"])
def test_a_queue_is_told_after_the_transaction(settings, how):
    function = counting()
    function()
    settings.CACHE_INVALIDATION = {"REFRESH": f"{__name__}.{breaks_the_transaction.__name__}"}
    with transaction.atomic():
        assert hit_when_due(function) == 0
        assert Product.objects.count() == 0  # The transaction goes on.
        assert broken == []
        transaction.set_rollback(how == "is rolled back")
    assert broken == (["in autocommit"] if how == "ends" else [])
    assert refreshed(NAME) == ({"failed": 1} if how == "ends" else {})
    broken.clear()


broken: list[str] = []


def breaks_the_transaction(message: Any) -> None:
    broken.append("in a transaction" if connection.in_atomic_block else "in autocommit")
    connection.cursor().execute("SELECT 1 / 0")


def test_what_a_queue_reads_is_nothing_that_a_reader_depends_on(settings):
    settings.CACHE_INVALIDATION = {"REFRESH": f"{__name__}.{looks.__name__}"}
    function = counting()
    outer = cached(name="ahead.around")(lambda: hit_when_due(function))
    function(), outer()
    Category.objects.create(name="a")
    outer()
    assert read_metrics()["functions"]["ahead.around"]["hits"] == 1


def looks(message: Any) -> None:
    Category.objects.count()


@pytest.mark.parametrize("tags", [None, ["testapp.product"]])
def test_a_worker_in_an_older_snapshot_stores_nothing(settings, tags):
    function = counting(tags=tags)
    function()
    with transaction.atomic():
        connection.cursor().execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        Product.objects.count()

        def write_and_read() -> list[Any]:
            Product.objects.create(name="new")
            return sent(settings, function)

        (message,) = elsewhere(write_and_read)
        ahead.refresh_message(message)
    assert refreshed(NAME) == {"refused": 1}


def test_a_queue_that_is_not_there_harms_nobody(settings, caplog):
    settings.CACHE_INVALIDATION = {"REFRESH": "nothing.like.it"}
    function = counting()
    function()
    assert hit_when_due(function) == 0
    assert refreshed(NAME) == {"failed": 1}
    assert "could not be refreshed" in caplog.text


def test_a_child_of_a_fork_has_threads_of_its_own(held):
    function = counting()
    function()
    hit_when_due(function)
    held.await_reached()
    child = os.fork()
    if not child:
        fits = not background._threads and not ahead._turns._begun and background.run(int)
        os._exit(0 if fits and background.wait(PATIENCE) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    held.opened.set()


@pytest.mark.parametrize("value", [1, "yes", None])
def test_refresh_is_a_yes_or_a_no(value):
    with pytest.raises(TypeError, match="refresh="):
        cached(refresh=value)


@pytest.mark.parametrize("timeout", [None, 0, timedelta(0)])
def test_refresh_needs_a_timeout(timeout):
    with pytest.raises(ValueError, match="timeout="):
        cached(refresh=True, timeout=timeout)
