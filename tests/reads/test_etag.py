"""`function.etag()`: an entity tag for what is made of a cached value."""

from datetime import timedelta
from datetime import timezone as fixed_zone

import pytest
from asgiref.sync import async_to_sync
from django.db import transaction
from django.http import HttpResponse
from django.test import RequestFactory, override_settings
from django.utils import timezone, translation
from django.views.decorators.http import condition

from cache_invalidation import cached, invalidate
from tests.delivered import commands
from tests.reads.test_spelling import from_file
from tests.testapp.models import Product

pytestmark = pytest.mark.django_db(transaction=True)


@cached
def named(pk):
    return Product.objects.get(pk=pk).name


@condition(etag_func=lambda request, pk: named.etag(pk))
def page(request, pk):
    return HttpResponse(f"<h1>{named(pk)}</h1>")


@pytest.fixture
def product():
    return Product.objects.create(name="desk", price=1)


def ask(pk, held=""):
    return page(RequestFactory().get("/", headers={"If-None-Match": held}), pk)


def test_who_has_the_page_of_a_value_is_told_so_until_it_changes(product):
    held = ask(product.pk).headers["ETag"]
    assert ask(product.pk, held).status_code == 304
    Product.objects.filter(pk=product.pk).update(name="lamp")
    changed = ask(product.pk, held)
    assert (changed.status_code, changed.content) == (200, b"<h1>lamp</h1>")


def test_nobody_is_told_that_he_has_what_was_written_while_it_was_made(product):
    def view(request, pk):
        if request.META.get("HTTP_X_WRITE"):
            Product.objects.filter(pk=pk).update(name="lamp")
        return HttpResponse(named(pk))

    page = condition(etag_func=lambda request, pk: named.etag(pk))(view)
    got = page(RequestFactory().get("/", headers={"X-Write": "1"}), product.pk)
    assert got.content == b"lamp"
    Product.objects.filter(pk=product.pk).update(name="desk")
    again = page(RequestFactory().get("/", headers={"If-None-Match": got["ETag"]}), product.pk)
    assert (again.status_code, again.content) == (200, b"desk")


def test_it_costs_one_look_at_the_cache(product, redis_client):
    named.etag(product.pk)
    with commands(redis_client) as found:
        assert named.etag(product.pk)
    assert len(found) == 1


def test_a_value_that_was_computed_anew_has_the_same(product):
    held = named.etag(product.pk)
    named.invalidate(product.pk)
    assert named.etag(product.pk) == held
    assert held[0] == held[-1] == '"'


def test_what_is_made_of_a_value_is_another_thing_in_another_language(product):
    found = {named.etag(product.pk)}
    with translation.override("de"):
        found.add(named.etag(product.pk))
    with timezone.override("Asia/Tokyo"):
        found.add(named.etag(product.pk))
    with override_settings(CACHE_INVALIDATION={"CODE_VERSION": "2"}):
        found.add(named.etag(product.pk))
    assert len(found) == 4


def test_time_zones_of_one_name_are_told_apart(product):
    found = set()
    for hours in (1, 2):
        with timezone.override(fixed_zone(timedelta(hours=hours), "browser")):
            found.add(named.etag(product.pk))
    assert len(found) == 2
    with timezone.override(from_file("Asia/Tokyo")):
        assert named.etag(product.pk) is None


def test_none_where_the_value_may_be_taken_back(product):
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        Product.objects.filter(pk=product.pk).update(name="lamp")
        assert named.etag(product.pk) is None
        raise ZeroDivisionError
    assert named.etag(product.pk) is not None


def test_none_while_the_cache_is_down(product):
    with override_settings(CACHE_INVALIDATION={"CACHE": "missing"}):
        assert named.etag(product.pk) is None


def test_of_a_coroutine():
    @cached(tags=["a"])
    async def later(number):
        return number

    tag = async_to_sync(later.etag)
    assert tag(3) == tag(3) != tag(4)
    invalidate(tags=["a"])
    assert tag(3)


def test_of_a_value_that_is_kept_with_its_call(product):
    @cached(tags=["a"], sample=1e-9)
    def kept(pk):
        return pk

    held = kept.etag(3)
    kept.refresh(3)  # The time that is kept with it is another one.
    assert kept.etag(3) == held
