"""How rows are named by readers: in tags that are spelled by hand, and as arguments."""

import pytest

from cache_invalidation import CacheDependencyWarning, cached, registry
from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


@pytest.fixture(autouse=True)
def no_misspelled_tags(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start with none, and keep those of the test from other tests."""
    monkeypatch.setattr(registry, "_misspelled", {})


@pytest.mark.parametrize("label", ["testapp.Product", "TESTAPP.product", "testapp.productproxy"])
def test_a_tag_with_the_wrong_case_or_the_label_of_a_proxy_is_misspelled(label: str) -> None:
    @cached(tags=[f"{label}:{{pk}}"], name="misspelled")
    def name_of(pk: int) -> str:
        return Product.objects.get(pk=pk).name

    with pytest.warns(CacheDependencyWarning, match=r"misspelled\(\) reads testapp\.Product"):
        name_of(Product.objects.create(name="P").pk)
    assert set(registry.misspelled) == {label}


def test_a_tag_that_is_spelled_like_its_model_is_not_misspelled() -> None:
    @cached(tags=["testapp.product:{pk}"], name="well-spelled")
    def name_of(pk: int) -> str:
        return Product.objects.get(pk=pk).name

    assert name_of(Product.objects.create(name="P").pk) == "P"
    assert not registry.misspelled


def test_rows_of_two_databases_are_two_arguments() -> None:
    @cached(tags=[Category], name="name-of-category")
    def name_of(category: Category) -> str:
        return category.name

    one = Category.objects.using("default").create(pk=1, name="in default")
    other = Category.objects.using("sqlite").create(pk=1, name="in sqlite")
    assert (name_of(one), name_of(other)) == ("in default", "in sqlite")
