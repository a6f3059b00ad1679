"""Where else a value can come from that is set: from outside of a unit, or not from a query."""

import contextvars
import inspect
from contextlib import contextmanager

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.sessions.models import Session
from django.core.cache import caches
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_started
from django.db import connections, transaction
from django.http import HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory
from django.urls import path
from django.utils import timezone

from cache_invalidation import cached, invalidate
from cache_invalidation.observing.watcher import journal
from cache_invalidation.surfaces.tracked import journals
from cache_invalidation.surfaces.tracked.units import unit_of_work
from tests import tenants
from tests.delivered import update_behind_the_back
from tests.elsewhere import elsewhere
from tests.testapp.models import Category, Product, Unregistered
from tests.tracked import views

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"]),
    pytest.mark.filterwarnings("ignore::cache_invalidation.exceptions.CacheDependencyWarning"),
]


@pytest.fixture(autouse=True)
def nothing_yet(product):
    """Begin as if nothing had been done in this process yet."""
    journal.set(None)
    journals.forget()


def name_of(product):
    return Product.objects.get(pk=product.pk).name


def change(product):
    Product.objects.filter(pk=product.pk).update(name="new")


def found(cache, key="product:1"):
    with unit_of_work():
        return cache.get(key)


def test_what_was_read_in_a_unit_may_be_set_after_it(cache, product):
    with unit_of_work():
        name = name_of(product)
    assert cache.get("product:1") is None
    cache.set("product:1", name)
    change(product)
    assert found(cache) is None


def test_what_was_read_in_a_unit_may_be_set_around_it(cache, product):
    assert cache.get("product:1") is None
    with unit_of_work():
        name = name_of(product)
    cache.set("product:1", name)
    change(product)
    assert found(cache) is None


def test_what_was_read_in_another_context_may_be_set_in_this_one(cache, product):
    name = contextvars.copy_context().run(name_of, product)
    assert cache.get("product:1") is None
    cache.set("product:1", name)
    change(product)
    assert found(cache) is None


def test_a_second_value_under_the_same_key_of_a_script(cache, product):
    assert cache.get("product:1") is None
    cache.set("product:1", name_of(product))
    cache.set("product:1", f"{name_of(product)}!")
    other = Product.objects.create(name="other")
    cache.set("product:1", name_of(other))
    change(other)
    assert found(cache) is None


def test_a_hit_that_a_script_replaces(cache, product):
    with unit_of_work():
        assert cache.get("product:1") is None
        assert cache.set("product:1", "x")
    journal.set(None)
    journals.forget()  # As if nothing had been done in this process yet.
    assert cache.get("product:1") == "x"
    cache.set("product:1", name_of(product))
    change(product)
    assert found(cache) is None


def streamed(request, pk):
    name = Product.objects.get(pk=pk).name

    def parts():
        cache = views.cache()
        if (text := cache.get("product:1")) is None:
            text = name
            cache.set("product:1", text)
        yield text

    return StreamingHttpResponse(parts())


def started_with(request):
    cache = views.cache()
    if (text := cache.get("product:1")) is None:
        text = views.computed[-1]
        cache.set("product:1", text)
    return HttpResponse(text)


urlpatterns = [path("streamed/<int:pk>/", streamed), path("started/", started_with)]


def test_a_response_that_is_streamed_after_the_request(cache, product, settings):
    settings.ROOT_URLCONF = __name__
    for _ in range(2):
        assert b"".join(Client().get(f"/streamed/{product.pk}/")) == b"old"
    change(product)
    assert b"".join(Client().get(f"/streamed/{product.pk}/")) == b"new"


def test_what_a_receiver_reads_when_a_request_starts(cache, product, settings):
    settings.ROOT_URLCONF = __name__

    def load(**kwargs):
        views.computed.append(name_of(product))

    def ask():
        environ = RequestFactory().get("/started/").environ
        return b"".join(WSGIHandler()(environ, lambda *args: lambda data: None))

    request_started.connect(load)
    try:
        for _ in range(3):
            assert ask() == b"old"
        change(product)
        assert ask() == b"new"
    finally:
        request_started.disconnect(load)


def kept_after(cache, product, read, times=3, key="product:1"):
    """Have `read` be done before `key` is asked for, and what it returns be set under it."""
    for _ in range(times):
        with unit_of_work():
            value = read()
            if cache.get(key) is None:
                cache.set(key, value)
    return found(cache, key)


@contextmanager
def shown_as_view(using):
    """Have a view under the name of a model."""
    with connections[using].cursor() as cursor:
        cursor.execute("ALTER TABLE testapp_unregistered RENAME TO kept_away")
        cursor.execute("CREATE VIEW testapp_unregistered AS SELECT id, name FROM testapp_product")
    try:
        yield
    finally:
        with connections[using].cursor() as cursor:
            cursor.execute("DROP VIEW testapp_unregistered")
            cursor.execute("ALTER TABLE kept_away RENAME TO testapp_unregistered")


def test_a_view_that_is_read_before_is_nothing_that_can_be_watched(cache, product):
    with shown_as_view("default"):
        assert kept_after(cache, product, lambda: Unregistered.objects.get().name) is None


def test_a_view_that_is_read_while_nothing_is_known(cache, product):
    """A deletion that is not committed yet keeps one key from being looked for."""
    with shown_as_view("default"):
        for _ in range(3):
            with unit_of_work():
                with transaction.atomic():
                    cache.delete("product:1")
                    assert cache.get("product:1") is None
                    name = Unregistered.objects.get().name
                if cache.get("product:2") is None:
                    cache.set("product:2", name)
    assert found(cache, "product:2") is None


@pytest.mark.parametrize("is_before", [True, False])
def test_what_nobody_watches(cache, product, settings, is_before):
    settings.CACHE_INVALIDATION |= {"EXCLUDE": ["testapp.Product"]}
    for _ in range(3):
        with unit_of_work():
            name = name_of(product) if is_before else None
            assert cache.get("product:1") is None
            cache.set("product:1", name or name_of(product))
    assert found(cache) is None


def test_sessions_are_read_by_every_request(cache, product):
    session = Session.objects.create(session_key="k", expire_date=timezone.now())

    def read():
        return Session.objects.get(pk=session.pk).session_key + name_of(product)

    assert kept_after(cache, product, read) == "kold"


def test_the_log_of_the_admin_is_not_watched(cache, product):
    assert kept_after(cache, product, LogEntry.objects.count) is None


def test_parameters_that_are_used_again(cache, product):
    other = Product.objects.create(name="other")

    def read():
        params = [product.pk]
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT name FROM testapp_product WHERE id = %s", params)
            (name,) = cursor.fetchone()
        params[0] = other.pk
        return name

    assert kept_after(cache, product, read) == "old"
    change(product)
    assert found(cache) is None


def test_a_row_that_was_never_there(cache, product):
    def read():
        with transaction.atomic():
            made = Category.objects.create(name="never")
            transaction.set_rollback(True)
        return made.pk

    assert kept_after(cache, product, read) is None


def test_a_snapshot_in_which_another_key_was_asked_for(cache, product, transactional_db):
    rows = Category.objects.using("sqlite")
    rows.create(name="old")
    with unit_of_work():  # It is known on what this one depends.
        assert cache.get("product:2") is None
        list(rows.all())
        assert cache.set("product:2", "x")
    cache.delete("product:2")
    cache.clear()
    with unit_of_work():
        assert cache.get("product:1") is None
        with transaction.atomic(using="sqlite"):
            Product.objects.using("sqlite").count()  # The snapshot begins here.
            elsewhere(lambda: rows.update(name="new"))
            cache.get("product:2")
            name = rows.get().name
        assert name == "old"
        cache.set("product:1", name)
    assert found(cache) is None


def test_what_was_read_before_a_pattern_was_invalidated(cache, product):
    kept_after(cache, product, lambda: name_of(product), key="product:0")
    with unit_of_work():
        name = name_of(product)
        update_behind_the_back(Product.objects.filter(pk=product.pk), name="unseen")
        invalidate(patterns=["product:*"])
        assert cache.get("product:1") is None
        cache.set("product:1", name)
    assert found(cache) is None


def test_add_after_get_of_what_was_read_before(cache, product):
    for _ in range(3):
        with unit_of_work():
            name = name_of(product)
            if cache.get("product:1") is None:
                cache.add("product:1", name)
    assert found(cache) == "old"
    change(product)
    assert found(cache) is None


def test_a_value_that_could_not_be_replaced_is_not_found_any_more(cache, product):
    with unit_of_work():
        assert cache.get("product:1") is None
        assert cache.set("product:1", "one")
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_class")
        assert not cache.set("product:1", "two")
    assert found(cache) is None


def test_a_hit_that_could_not_be_replaced_is_not_found_any_more(cache, product):
    with unit_of_work():
        assert cache.get("product:1") is None
        assert cache.set("product:1", "one")
    with unit_of_work():
        assert cache.get("product:1") == "one"
        with connections["default"].cursor() as cursor:
            cursor.execute("SELECT 1 FROM pg_class")
        assert not cache.set("product:1", "two")
    assert found(cache) is None


def test_a_key_that_is_only_looked_for(cache, product):
    with unit_of_work():
        if "product:1" not in cache:
            assert cache.set("product:1", name_of(product))
    assert found(cache) == "old"
    change(product)
    assert found(cache) is None


def test_a_deletion_is_nothing_that_later_values_depend_on(cache, product):
    with unit_of_work():
        assert cache.get("product:1") is None
        assert cache.set("product:1", name_of(product))
    with unit_of_work():
        cache.delete("product:1")
        elsewhere(lambda: change(product))
        assert cache.get("product:2") is None
        assert cache.set("product:2", name_of(product))


def test_what_nobody_watches_as_a_default(cache, product, settings):
    settings.CACHE_INVALIDATION |= {"EXCLUDE": ["testapp.Product"]}
    with unit_of_work():
        assert cache.get_or_set("product:1", lambda: Product.objects.get().name) == "old"
    assert found(cache) is None


@pytest.mark.parametrize("backend", ["RedisCache", "LocMemCache"])
def test_what_one_tenant_asked_for_and_another_sets(product, settings, backend):
    below = {"RedisCache": "tracked", "LocMemCache": "tracked_locmem"}[backend]
    mine = settings.CACHES[below] | {"KEY_FUNCTION": tenants.by_tenant}
    settings.CACHES = settings.CACHES | {"by_tenant": mine}
    settings.CACHE_INVALIDATION = {"CACHE": "by_tenant"}
    cache = caches["by_tenant"]
    with unit_of_work():
        with tenants.serving("a"):
            assert cache.get("product:1") is None
        with tenants.serving("b"):
            cache.set("product:1", "for b")
            assert cache.get("product:1") in (None, "for b")
    with tenants.serving("a"):
        assert found(cache) is None


def test_servers_can_tell_what_they_call():
    assert inspect.iscoroutinefunction(ASGIHandler().__call__)
    assert inspect.iscoroutinefunction(ASGIHandler.get_response_async)


def test_a_hit_of_a_function_with_which_a_script_begins(cache, product):
    @cached
    def name(pk):
        return Product.objects.get(pk=pk).name

    name(product.pk)
    journal.set(None)
    journals.forget()
    known = name(product.pk)
    assert cache.get("product:1") is None
    cache.set("product:1", known)
    change(product)
    assert found(cache) is None


def test_a_hit_of_a_function_that_comes_first(cache, product):
    @cached
    def name(pk):
        return Product.objects.get(pk=pk).name

    for _ in range(3):
        with unit_of_work():
            known = name(product.pk)
            if cache.get("product:1") is None:
                cache.set("product:1", known)
    assert found(cache) == "old"
    change(product)
    assert found(cache) is None
