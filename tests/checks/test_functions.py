"""System checks of what is decorated with `cached`."""

from typing import Any

import pytest
from django.core.checks import Error, Warning

from cache_invalidation import ModelInvalidation, cached, registry
from tests.checks.reporting import only, reported
from tests.testapp.models import Category, Product, Unregistered

pytestmark = pytest.mark.django_db(databases="__all__")


def page_of(model: Any, **options: Any) -> Any:
    @cached(**options)
    def page() -> list[Any]:
        return list(model.objects.values_list("pk"))

    return page


def test_e014_functions_that_share_a_name():
    pages = [page_of(Product), page_of(Category)]
    message = only(reported(), Error, "E014")
    assert repr(f"{__name__}.page_of.<locals>.page") in message.msg
    assert len(pages) == 2


def test_functions_with_names_of_their_own_are_told_apart():
    pages = [page_of(model, name=f"page-{model.__name__}") for model in (Product, Category)]
    assert reported() == []
    assert len(pages) == 2


def test_a_function_that_is_there_no_more_shares_nothing():
    page = page_of(Product)
    page.itself = page  # Only the collector can tell that nobody needs it.
    del page
    page = page_of(Category)
    assert reported() == []
    assert page


def page(): ...


@pytest.mark.parametrize("tags", [Unregistered, "testapp.unregistered:3"])
def test_a_model_that_only_cached_functions_name_is_nobodys_mistake(tags):
    assert Unregistered not in registry.rules
    cached(tags=tags)(page)
    assert reported() == []


@pytest.mark.parametrize("tag", ["testapp.prodct", "testapp.prodct:3"])
def test_w003_a_tag_that_looks_like_that_of_a_model_which_does_not_exist(tag):
    cached(tags=[tag])(page)
    message = only(reported(), Warning, "W003").msg
    assert f"{page.__module__}.page() is spelled" in message
    assert "'testapp.prodct', but" in message
    assert message.endswith("Did you mean 'testapp.product'?")


def test_w003_such_a_tag_of_a_rule():
    class Misspelled(ModelInvalidation):
        tags = ["testapp.prodct:{pk}"]

    with registry.override(Unregistered, Misspelled):
        assert "Misspelled is spelled" in only(reported(), Warning, "W003").msg


@pytest.mark.parametrize("tag", ["homepage", "no.such.app:3", "nowhere.page", "testapp:3"])
def test_a_tag_that_does_not_look_like_that_of_a_model_is_nobodys_mistake(tag):
    cached(tags=[tag])(page)
    assert reported() == []


@pytest.mark.parametrize("options", [{"refresh": True}, {"refresh": True, "timeout": 60}, {}])
def test_w030_what_never_expires_is_never_refreshed(settings, options):
    settings.CACHE_INVALIDATION = {"DEFAULT_TIMEOUT": None}
    refreshed = page_of(Product, **options)
    if "refresh" in options and "timeout" not in options:
        assert f"{refreshed.signature.name}() has" in only(reported(), Warning, "W030").msg
        settings.CACHE_INVALIDATION = {}
    assert reported() == []
