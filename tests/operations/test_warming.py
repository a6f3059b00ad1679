"""Warming: what is hit most is computed before anybody asks, and never for one person."""

from collections.abc import Iterator
from contextvars import ContextVar
from itertools import count
from typing import Any
from unittest import mock

import pytest
from django.contrib.auth.models import User
from django.db import connection, models, transaction
from django.utils import translation

from cache_invalidation import cached, invalidate
from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.operations import warming
from cache_invalidation.operations.warming import Budget, Warmer, warm_all
from cache_invalidation.reads import cached_functions, protocol, recomputing
from cache_invalidation.reads.hottest import Call, hottest, is_for_anybody
from cache_invalidation.stores import get_store
from cache_invalidation.tags import ROOT
from tests import tenants
from tests.elsewhere import elsewhere
from tests.reads.aging import TIMEOUT, aged, nothing_begun
from tests.testapp.made import make_model, models_forgotten
from tests.testapp.models import Category, Product

__all__ = ["nothing_begun"]

pytestmark = pytest.mark.django_db(transaction=True)

NAME = "warmed.function"


@pytest.fixture(autouse=True)
def every_hit_is_noted() -> Iterator[None]:
    hottest._forget()
    with mock.patch.object(cached_functions, "is_chosen_for_warming", return_value=True):
        yield


def drop_everything() -> None:
    get_store().drop_everything()


def hit(function: Any, *args: Any, times: int = 1, **kwargs: Any) -> None:
    """Have a call computed once and hit so often."""
    for _ in range(times + 1):
        function(*args, **kwargs)
    hottest.send()


def noted() -> list[Call]:
    hottest.send()
    return [Call.decoded(raw) for raw in get_store().calls()]


def outcomes(**budget: Any) -> dict[str, int]:
    return {name: number for name, number in warm_all(Budget(**budget)).items() if number}


class Computed:
    """A function that writes down for which arguments it was called."""

    def __init__(self, name: str = NAME, **options: Any) -> None:
        self.calls: list[Any] = []
        self.function = cached(name=name, **options)(self.compute)

    def compute(self, number: int = 0, *args: Any, **extra: Any) -> int:
        self.calls.append(number)
        return Product.objects.count()


def test_what_was_dropped_is_computed_and_the_next_reader_hits():
    page = Computed()
    hit(page.function, 1)
    drop_everything()
    page.calls.clear()
    assert outcomes() == {"stored": 1}
    assert outcomes() == {"there": 1}
    before = read_metrics()["hits"]
    assert page.function(1) == 0
    assert (page.calls, read_metrics()["hits"]) == ([1], before + 1)
    assert read_metrics()["refreshed"][NAME] == {"warmed": 1}


def test_the_reads_of_a_warmer_are_no_hits_and_no_misses():
    page = Computed()
    hit(page.function, 1)
    drop_everything()
    before = read_metrics()["functions"]
    outcomes(), outcomes()
    assert read_metrics()["functions"] == before


def test_those_that_save_most_come_first(monkeypatch):
    slow, fast = Computed("warmed.slow"), Computed("warmed.fast")
    order: list[Any] = []
    for each in (slow, fast):
        monkeypatch.setattr(each, "calls", order)
    hit(fast.function, 1, times=4)
    hit(fast.function, 2, times=6)
    hit(slow.function, 3, times=1)
    drop_everything()
    order.clear()
    seconds = {"warmed.slow": 1.0, "warmed.fast": 0.1}
    monkeypatch.setattr(warming, "_seconds", lambda: seconds)
    assert outcomes(limit=2) == {"stored": 2}
    assert order == [3, 2]
    assert outcomes() == {"stored": 1, "there": 2}


def test_what_computing_takes_was_measured():
    page = Computed()
    hit(page.function, 1)
    assert set(warming._seconds()) == {NAME}
    assert warming._seconds()[NAME] > 0


def test_a_budget_ends_a_round():
    page = Computed()
    for number in range(3):
        hit(page.function, number)
    drop_everything()
    *_, progress = Warmer(Budget(seconds=1e-9)).round()
    assert (progress.total, progress.done) == (3, 1)


def test_a_share_of_a_core_is_followed_by_rest():
    page = Computed()
    for number in range(3):
        hit(page.function, number)
    drop_everything()
    stopped = mock.Mock()
    stopped.wait.return_value = False
    with mock.patch.object(warming, "monotonic", side_effect=iter(range(0, 900, 2)).__next__):
        list(Warmer(Budget(share=0.25), stopped).round())
    assert [call.args for call in stopped.wait.call_args_list] == [(6.0,)] * 3


def test_what_is_about_to_expire_is_computed_anew():
    page = Computed(timeout=TIMEOUT, refresh=True)
    hit(page.function, 1)
    assert outcomes() == {"there": 1}
    with aged():
        assert outcomes() == {"stored": 1}
    assert page.calls == [1, 1]


def test_language_is_kept_where_it_matters():
    found = []

    @cached(name=NAME, vary_on="language")
    def function() -> str:
        found.append(translation.get_language())
        return found[-1]

    for language in ("de", "fr"):
        with translation.override(language):
            hit(function)
    drop_everything()
    found.clear()
    assert outcomes() == {"stored": 2}
    assert sorted(found) == ["de", "fr"]
    with translation.override("de"):
        assert function() == "de"
    assert len(found) == 2


def test_another_release_has_entries_of_its_own(settings):
    settings.CACHE_INVALIDATION = {"CODE_VERSION": "1"}
    page = Computed()
    hit(page.function, 1)
    settings.CACHE_INVALIDATION = {"CODE_VERSION": "2"}
    assert outcomes() == {"stored": 1}
    page.function(1)
    assert page.calls == [1, 1]


def who() -> str:
    return "anna"


@pytest.mark.parametrize(
    ("varies", "parameters", "is_it"),
    [
        ([], ["pk", "superuser"], True),
        (["language", "timezone"], [], True),
        (["who"], [], False),
        (["language", "who"], [], False),
        ([], ["user"], False),
        ([], ["pk", "for_user_id"], False),
        ([], ["**User"], False),
        ([], ["request"], False),
        ([], ["userId"], False),
        ([], ["customer_pk"], False),
        ([], ["userland", "ownership", "zip"], True),
    ],
)
def test_what_may_be_for_one_person_is_known_by_names(varies, parameters, is_it):
    assert is_for_anybody(varies, parameters) is is_it


def test_nothing_is_noted_that_is_or_may_be_for_one_person():
    hit(Computed("warmed.who", vary_on=[who]).function, 1)
    hit(Computed().function, 1, user=3)

    @cached(name="warmed.user")
    def of_user(user_id: int) -> int:
        return user_id

    hit(of_user, 3)
    assert noted() == []


@pytest.mark.parametrize("wrap", [lambda row: row, lambda row: (1, row), lambda row: (1, (row,))])
@pytest.mark.parametrize("is_profile", [False, True])
def test_nor_what_is_called_with_a_user(wrap, is_profile):
    @cached(name=NAME)
    def function(row: Any) -> int:
        return 1

    with models_forgotten():  # Users are deleted with all that hangs on them.
        to_user = models.OneToOneField(User, on_delete=models.CASCADE)
        profile = make_model("Profile", {"user": to_user}, managed=False)
        hit(function, wrap((profile if is_profile else User)(pk=3)))
        assert noted() == []
    hit(function, wrap(Category.objects.create(name="a")))
    assert len(noted()) == 1


def test_one_that_came_to_be_for_one_person_is_not_computed_any_more(caplog):
    page = Computed()
    hit(page.function, 1)
    drop_everything()
    del page

    @cached(name=NAME, vary_on=[who])
    def later(number: int) -> int:
        raise AssertionError

    assert outcomes() == {"elsewhere": 1}
    assert "could not be warmed" not in caplog.text


def test_another_tenant_is_somebody_else(settings, django_assert_num_queries):
    @cached(name=NAME)
    def function(row: Any) -> int:
        return 1

    configured = settings.CACHES["default"] | {"KEY_FUNCTION": "tests.tenants.by_tenant"}
    settings.CACHES = settings.CACHES | {"default": configured}
    category = Category.objects.create(name="a")
    with tenants.serving("first"):
        hit(function, category)
        drop_everything()
    with tenants.serving("second"), django_assert_num_queries(0):
        # He may have another row with that key.
        assert outcomes() == {"elsewhere": 1}
    with tenants.serving("first"):
        assert outcomes() == {"stored": 1}


step: ContextVar[Any] = ContextVar("step")


@pytest.mark.parametrize("how", ["a write", "by name", "everything"])
def test_an_invalidation_during_a_warm_up_wins(how):
    product = Product.objects.create(name="old")
    acts: dict[str, Any] = {
        "a write": lambda: Product.objects.filter(pk=product.pk).update(name="new"),
        "by name": lambda: warmed.invalidate(product.pk),
        "everything": lambda: invalidate(tags=[ROOT]),
    }
    is_warming = False

    @cached(name=NAME)
    def function(pk: int) -> str:
        name = Product.objects.get(pk=pk).name
        if is_warming:
            acts[how]()
        return name

    warmed: Any = function
    hit(function, product.pk)
    drop_everything()
    is_warming = True
    assert outcomes() == {"refused": 1}
    is_warming = False
    assert function(product.pk) == Product.objects.get(pk=product.pk).name


@pytest.mark.parametrize("tags", [None, ["testapp.product"]])
def test_nothing_is_stored_from_a_snapshot_that_is_older_than_the_hit(tags):
    calls = count()

    @cached(name=NAME, timeout=TIMEOUT, refresh=True, tags=tags)
    def page() -> Any:
        return next(calls), Product.objects.get().name

    def write_and_read() -> None:
        Product.objects.update(name="new")
        page()

    Product.objects.create(name="old")
    hit(page)
    with transaction.atomic():
        connection.cursor().execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        Product.objects.count()
        elsewhere(write_and_read)
        with aged():
            assert outcomes() == {"refused": 1}
    assert page()[1] == "new"


def test_rows_among_the_arguments_are_read_after_the_versions(monkeypatch):
    """One that was read before would be stored under versions that are newer than it."""
    product = Product.objects.create(name="old")

    @cached(name=NAME, tags=["testapp.product:{row__pk}"])
    def function(row: Product) -> str:
        return row.name

    hit(function, product)
    drop_everything()
    real = protocol.look_once

    def look_then(read: Any) -> Any:
        Product.objects.filter(pk=product.pk).update(name="new")
        return real(read)

    monkeypatch.setattr(warming, "look_once", look_then)
    outcomes()
    assert function(Product.objects.get(pk=product.pk)) == "new"


def test_what_fails_is_logged_once_and_not_tried_again_at_once(caplog):
    is_warming = False
    tried = []

    @cached(name=NAME)
    def function(number: int) -> int:
        if is_warming:
            tried.append(number)
            raise RuntimeError("no")
        return number

    hit(function, 1)
    hit(function, 2)
    drop_everything()
    is_warming = True
    warmer = Warmer(Budget())
    for _ in range(2):
        *_, progress = warmer.round()
    assert progress.by_outcome()["taken"] == 2
    assert sorted(tried) == [1, 2]
    assert caplog.text.count("could not be warmed") == 1


def test_a_connection_that_breaks_fails_one_call_only():
    is_warming = False

    @cached(name=NAME)
    def function(number: int) -> int:
        if is_warming and number == 0:
            connection.cursor().execute("SELECT pg_terminate_backend(pg_backend_pid())")
        return Product.objects.count()

    for number in range(3):
        hit(function, number, times=3 - number)
    drop_everything()
    is_warming = True
    assert outcomes() == {"failed": 1, "stored": 2}


def test_what_cannot_be_computed_here_is_not_tried_in_each_round(
    django_assert_num_queries, monkeypatch
):
    @cached(name=NAME)
    def function(row: Any) -> int:
        return 1

    category = Category.objects.create(name="a")
    hit(function, category)
    category.delete()
    warmer = Warmer(Budget())
    *_, progress = warmer.round()
    assert progress.by_outcome()["elsewhere"] == 1
    with django_assert_num_queries(0):
        *_, progress = warmer.round()
    assert progress.total == 0
    monkeypatch.setattr(warmer, "_ask_at", 0.0)
    *_, progress = warmer.round()
    assert progress.by_outcome()["elsewhere"] == 1


def test_somebody_elses_turn_is_left_to_him():
    page = Computed()
    hit(page.function, 1)
    drop_everything()
    recomputing.turn_for(get_store().entry_place(page.function.key(1)), None)
    assert outcomes() == {"taken": 1}


def test_a_row_that_is_gone_harms_nobody(caplog):
    @cached(name=NAME)
    def function(row: Any) -> int:
        return 1

    category = Category.objects.create(name="a")
    hit(function, category)
    category.delete()
    assert outcomes() == {"elsewhere": 1}
    assert caplog.text == ""


def test_a_loop_remembers_the_calls_when_the_cache_has_lost_everything(redis_client):
    page = Computed()
    hit(page.function, 1)
    warmer = Warmer(Budget())
    list(warmer.round())
    redis_client.flushdb()
    warmer._ask_at = 0.0
    *_, progress = warmer.round()
    assert progress.by_outcome()["stored"] == 1
    page.function(1)
    assert page.calls == [1, 1]


def test_coroutine_functions_are_noted_and_warmed():
    from asgiref.sync import async_to_sync

    @cached(name=NAME)
    async def function(number: int) -> int:
        return await Product.objects.acount()

    hit(async_to_sync(function), 1)
    drop_everything()
    assert outcomes() == {"stored": 1}


def test_calls_that_take_too_much_room_are_left_out():
    @cached(name=NAME)
    def function(text: str) -> int:
        return 1

    hit(function, "a" * 3000)
    assert noted() == []


def test_one_of_many_hits_is_noted(monkeypatch):
    from cache_invalidation.reads import hottest as module

    assert sum(module.is_chosen() for _ in range(64_000)) in range(700, 1300)
