"""`cached(vary_on=…)` and ``CODE_VERSION``: one value for each of what it is for."""

import threading
from contextvars import Context as EmptyContext
from contextvars import ContextVar
from datetime import UTC, datetime, timedelta, tzinfo
from datetime import timezone as fixed_zone
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.conf import settings as django_settings
from django.db import transaction
from django.http import HttpResponse
from django.template import Context, Engine, Library, Node
from django.test import RequestFactory, override_settings
from django.utils import timezone, translation

from cache_invalidation import CacheDependencyWarning, cached
from cache_invalidation.middleware import CachePageMiddleware
from cache_invalidation.operations.rechecks import recheck_entries
from cache_invalidation.surfaces.inputs.always import always
from cache_invalidation.views import cache_page
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(transaction=True)

TAGS = "cache_invalidation.templatetags"

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)

tenant: ContextVar[str] = ContextVar("tenant", default="none")


def code_version(version):
    return override_settings(CACHE_INVALIDATION={"CODE_VERSION": version})


def current_tenant():
    return tenant.get()


@pytest.fixture(autouse=True)
def _nobody():
    token = tenant.set("none")
    yield
    tenant.reset(token)


@cached(vary_on=["language", "timezone"])
def spoken():
    return f"{translation.get_language()} {timezone.get_current_timezone_name()}"


@cached(vary_on=current_tenant)
def owned(name):
    return f"{name} of {tenant.get()}"


def test_each_language_and_time_zone_has_its_value():
    found = []
    for _ in range(2):
        for language, zone in (("de", "Asia/Tokyo"), ("en", "Asia/Tokyo"), ("de", "UTC")):
            with translation.override(language), timezone.override(zone):
                found.append(spoken())
    assert found[:3] == ["de Asia/Tokyo", "en Asia/Tokyo", "de UTC"]
    assert found[3:] == found[:3]


def test_time_zones_of_one_name_are_told_apart():
    @cached(vary_on="timezone")
    def shown():
        return timezone.localtime(NOON).isoformat()

    for hours in (1, 2, 1):
        with timezone.override(fixed_zone(timedelta(hours=hours), "browser")):
            assert shown() == f"2026-01-01T{12 + hours}:00:00+0{hours}:00"
    with timezone.override(Odd()):
        assert shown() == "2026-01-01T15:00:00+03:00"
    with timezone.override(Odd(lambda: 3)), pytest.raises(TypeError, match="that others know"):
        shown()


class Odd(tzinfo):
    """A time zone of a library."""

    def __init__(self, rule: Any = None) -> None:
        self.rule = rule

    def utcoffset(self, moment: datetime | None) -> timedelta:
        """Return three hours."""
        return timedelta(hours=3)

    def tzname(self, moment: datetime | None) -> str:
        """Return nothing."""
        return ""

    def dst(self, moment: datetime | None) -> timedelta:
        """Return none."""
        return timedelta(0)


def test_there_is_one_value_for_each_that_a_function_returns():
    @cached(vary_on=[current_tenant, lambda: 3])
    def counted():
        calls.append(tenant.get())
        return tenant.get()

    calls: list[str] = []
    for name in ("a", "b", "a", "b"):
        tenant.set(name)
        assert counted() == name
    assert calls == ["a", "b"]


def test_what_is_invalidated_is_invalidated_for_all():
    @cached(vary_on=current_tenant)
    def value(name):
        calls.append(tenant.get())
        return name

    calls: list[str] = []
    keys = set()
    for name in ("a", "b", "a"):
        tenant.set(name)
        value("desk")
        keys.add(value.key("desk"))
    assert len(keys) == 2
    value.invalidate("desk")
    for name in ("a", "b", "a"):
        tenant.set(name)
        value("desk")
    assert calls == ["a", "b", "a", "b"]


def test_what_is_invalidated_in_a_transaction_that_is_rolled_back_stays():
    calls: list[int] = []

    @cached(vary_on=current_tenant)
    def value():
        calls.append(1)
        return len(calls)

    value()
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        value.invalidate()
        raise ZeroDivisionError
    assert value() == 1


def test_other_arguments_stay():
    calls: list[str] = []

    @cached(vary_on=current_tenant)
    def value(name):
        calls.append(name)
        return name

    value("x")
    value("y")
    value.invalidate("x")
    value("y")
    value("x")
    assert calls == ["x", "y", "x"]


def test_a_function_around_it_that_does_not_say_so_is_not_stored():
    calls: list[str] = []

    @cached
    def outer():
        calls.append(tenant.get())
        return owned("desk")

    for name in ("a", "b", "a"):
        tenant.set(name)
        with pytest.warns(CacheDependencyWarning, match=r"outer\(\) is not stored.*current_tenant"):
            assert outer() == f"desk of {name}"
    assert calls == ["a", "b", "a"]


def test_nor_is_it_with_tags_of_its_own():
    @cached(tags=["a"])
    def outer():
        return spoken()

    for language in ("de", "en"):
        with translation.override(language), pytest.warns(CacheDependencyWarning):
            assert outer().startswith(language)


def test_a_function_around_it_that_says_so_is_stored():
    calls: list[str] = []

    @cached(vary_on=["language", "timezone", current_tenant])
    def outer():
        calls.append(tenant.get())
        return f"{spoken()} {owned('desk')}"

    for _ in range(2):
        for name in ("a", "b"):
            tenant.set(name)
            assert outer().endswith(f"of {name}")
    assert calls == ["a", "b"]


def test_the_same_holds_if_the_inner_value_was_cached_or_the_inner_function_failed():
    @cached(vary_on=current_tenant)
    def failing():
        raise LookupError(tenant.get())

    @cached
    def outer():
        try:
            failing()
        except LookupError as error:
            return str(error)

    for name in ("a", "b"):
        tenant.set(name)
        with pytest.warns(CacheDependencyWarning):
            assert outer() == name


def test_a_coroutine_has_a_value_for_each_language():
    calls: list[str] = []

    @cached(vary_on="language")
    async def spoken_later():
        calls.append(translation.get_language())
        return translation.get_language()

    for language in ("de", "en", "de"):
        with translation.override(language):
            assert async_to_sync(spoken_later)() == language
    assert calls == ["de", "en"]
    async_to_sync(spoken_later.invalidate)()
    with translation.override("en"):
        async_to_sync(spoken_later)()
    assert calls == ["de", "en", "en"]


def test_another_release_has_values_of_its_own_and_invalidates_those_of_both():
    calls: list[str] = []

    @cached
    def value(number):
        calls.append(number)
        return len(calls)

    with code_version("1"):
        assert [value(3), value(3)] == [1, 1]
    with code_version("2"):
        assert [value(3), value(3)] == [2, 2]
        value.invalidate(3)
    with code_version("1"):
        assert value(3) == 3
    assert value(3) == 4  # Without any version, as before there was one.


def test_data_still_counts():
    product = Product.objects.create(name="desk", price=1)

    @cached(vary_on=current_tenant)
    def price(pk):
        return f"{tenant.get()} {Product.objects.get(pk=pk).name}"

    for name in ("a", "b"):
        tenant.set(name)
        price(product.pk)
    product.name = "lamp"
    product.save()
    found = []
    for name in ("a", "b"):
        tenant.set(name)
        found.append(price(product.pk))
    assert found == ["a lamp", "b lamp"]


class Shown(Node):
    """What the desk of the tenant is called, where there is a cached function and nothing else."""

    def render(self, context):
        rendered.append(tenant.get())
        return owned("desk")


rendered: list[str] = []
register = Library()
register.tag("desk", lambda parser, token: Shown())


def test_a_template_block_has_one_text_for_each():
    engine = Engine(libraries={"desk": __name__, "cached": f"{TAGS}.cache_invalidation"})
    source = "{% load cached desk %}{% cached %}{% cached 60 inner %}{% desk %}{% endcached %}"
    template = engine.from_string(source + "{% endcached %}")
    rendered.clear()
    for _ in range(2):
        for name in ("a", "b"):
            tenant.set(name)
            assert template.render(Context()) == f"desk of {name}"
    assert rendered == ["a", "b"]


visited: list[str] = []
by_a_lambda = cached(name="by a lambda", vary_on=lambda: tenant.get())(lambda: tenant.get())


@cache_page(60)
def desk_page(request):
    visited.append(tenant.get())
    return HttpResponse(owned("desk"))


@cache_page(60)
def nameless_page(request):
    visited.append(tenant.get())
    return HttpResponse(by_a_lambda())


@override_settings(ALLOWED_HOSTS=["*"], CACHE_INVALIDATION={"CACHE_STATUS": True})
def visit(page):
    return CachePageMiddleware(page)(RequestFactory().get("/"))


def test_a_page_has_one_body_for_each():
    visited.clear()
    for _ in range(2):
        for name in ("a", "b"):
            tenant.set(name)
            assert visit(desk_page).content.decode() == f"desk of {name}"
    assert visited == ["a", "b"]


def test_a_page_is_not_stored_if_nobody_else_could_tell_for_whom_it_is():
    visited.clear()
    for name in ("a", "b", "a"):
        tenant.set(name)
        response = visit(nameless_page)
        assert response.content.decode() == name
        assert "varies" in response.headers["Cache-Status"]
    assert visited == ["a", "b", "a"]


@pytest.mark.parametrize(
    "vary_on",
    [
        "colour",
        ["language", "color"],
        [3],
        {"language": True},
        b"language",
        3,
        lambda user: user,
        [len],
    ],
    ids=["word", "words", "number", "mapping", "bytes", "int", "argument", "len"],
)
def test_what_cannot_work_is_refused_at_once(vary_on):
    with pytest.raises(TypeError, match="vary_on"):
        cached(vary_on=vary_on)(current_tenant)


def test_a_coroutine_function_is_no_source():
    async def later():
        return "a"

    with pytest.raises(TypeError, match="vary_on"):
        cached(vary_on=later)(current_tenant)


def test_what_has_no_spelling_is_refused_when_called():
    @cached(vary_on=lambda: ["a"])
    def value():
        return 1

    with pytest.raises(
        TypeError, match=r"value\(\) cannot be cached for what .*<lambda>.* returns"
    ):
        value()


def test_a_check_on_demand_does_not_take_another_language_for_a_stale_value():
    @cached(vary_on="language", sample=1e-9)
    def spoken_once(number):
        return translation.get_language()

    with translation.override("de"):
        spoken_once(3)
    with translation.override("en"):
        spoken_once(3)
        found = {each.outcome for each in recheck_entries([spoken_once.signature.name])}
    assert found == {"fresh", "not recomputable"}


@pytest.mark.parametrize("name", ["LANGUAGE_CODE", "LANGUAGES", "LOCALE_PATHS"])
def test_languages_are_told_apart_after_a_test_has_changed_what_they_are(name):
    @cached(vary_on="language")
    def spoken_after():
        return translation.get_language()

    def ask(language):
        with translation.override(language):
            assert spoken_after() == language
            assert always(()).startswith(f"({language!r}")

    with override_settings(**{name: getattr(django_settings, name)}):  # Django begins anew.
        pass
    for language in ("de", "en"):
        EmptyContext().run(ask, language)  # As in a thread in which there never was a language.


def test_two_threads_have_their_own():
    found = {}

    def run(name):
        tenant.set(name)
        found[name] = owned("thread")

    threads = [threading.Thread(target=run, args=[name]) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {"a": "thread of a", "b": "thread of b"}
