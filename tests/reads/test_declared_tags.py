"""What `tags=` of `cached` takes, and what each call depends on."""

from collections.abc import Callable
from typing import Any

import pytest

from cache_invalidation import ModelInvalidation, cached, invalidate, registry
from cache_invalidation.exceptions import TemplateError
from cache_invalidation.reads.arguments import Signature
from cache_invalidation.reads.declared_tags import DeclaredTags, Tags
from cache_invalidation.tags import expand, function_tag
from tests.delivered import update_behind_the_back
from tests.testapp.models import Category, Product, ProductProxy, Unregistered


def page(category_id, product=None, *rest, lang="en", **more): ...


def tags_of(tags: Tags, function: Callable[..., Any], *args: Any, **kwargs: Any) -> set[str]:
    """Return what a call depends on, less what every call does and less families."""
    signature = Signature(function)
    declared = DeclaredTags(tags, signature)
    found = declared.of_call(signature.bind(args, kwargs), args, kwargs)
    named = {tag for tag in found if not tag.endswith("*")}
    assert found == expand(named)
    own = {function_tag(signature.name)}
    assert own <= named
    return named - own


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("homepage", {"homepage"}),
        (["homepage", "footer"], {"homepage", "footer"}),
        (("homepage",), {"homepage"}),
        ([], set()),
        (Category, {"testapp.category"}),
        (Product, {"testapp.product", "testapp.product+m2m"}),
        (ProductProxy, {"testapp.product", "testapp.product+m2m"}),
        (Product(pk=42), {"testapp.product:42", "testapp.product+m2m:42"}),
        ("testapp.product:{category_id}", {"testapp.product:3", "testapp.product+m2m:3"}),
        (
            [Product, Category(pk=7), "homepage"],
            {"testapp.product", "testapp.product+m2m", "testapp.category:7", "homepage"},
        ),
        ("category:{category_id}", {"category:3"}),
        ("category:{category_id}:{lang}", {"category:3:en"}),
        (lambda category_id: f"c:{category_id}", {"c:3"}),
        (lambda category_id: Product, {"testapp.product", "testapp.product+m2m"}),
        (
            lambda category_id: ["a", Product(pk=1), Category(pk=1)],
            {"a", "testapp.product:1", "testapp.product+m2m:1", "testapp.category:1"},
        ),
        (lambda category_id: (f"n:{n}" for n in range(2)), {"n:0", "n:1"}),
        (lambda category_id: [], set()),
    ],
)
def test_tags_are_strings_templates_models_instances_and_callables(tags, expected):
    assert tags_of(tags, page, 3) == expected


def test_any_iterable_of_tags_will_do_even_one_that_ends():
    tags = tags_of((tag for tag in ("a", "b:{category_id}")), page, 3)
    assert tags == {"a", "b:3"}


def test_templates_see_defaults_keywords_and_attributes():
    product = Product(pk=1, slug="red", category=Category(pk=7, slug="shoes"))
    tags = ["lang:{lang}", "slug:{product__slug}", "c:{product__category__slug}", "p:{product}"]
    assert tags_of(tags, page, 3, product) == {"lang:en", "slug:red", "c:shoes", "p:1"}
    assert tags_of("lang:{lang}", page, 3, lang="de") == {"lang:de"}


def test_behind_an_argument_that_is_none_everything_is_none():
    assert tags_of("slug:{product__category__slug}", page, 3) == {"slug:None"}


def test_values_cannot_spell_the_tag_of_all_values():
    assert tags_of("category:{category_id}", page, "*") == {"category:%2A"}


def test_a_number_given_as_text_is_the_same_tag():
    assert tags_of("c:{category_id}", page, "3") == tags_of("c:{category_id}", page, 3)


def test_callables_get_the_arguments_as_the_caller_gave_them():
    seen = []

    def tags(*args, **kwargs):
        seen.append((args, kwargs))
        return "a"

    tags_of(tags, page, 3, lang="de")
    assert seen == [((3,), {"lang": "de"})]


def test_a_template_has_to_name_parameters_of_the_function():
    with pytest.raises(TemplateError) as caught:
        cached(tags=["c:{categroy_id}"])(page)
    assert "'c:{categroy_id}' names 'categroy_id'" in str(caught.value)
    assert "page(category_id, product, rest, lang, more)" in str(caught.value)


@pytest.mark.parametrize(
    "tags", ["{category_id}", "c:{category_id", "a\nb", "", ["ok", " "], "a*", "c:{category_id}*"]
)
def test_a_bad_tag_is_refused_when_the_function_is_decorated(tags):
    with pytest.raises(ValueError, match="tag"):
        cached(tags=tags)(page)


@pytest.mark.parametrize(
    "tags", [3, [3], [None], b"homepage", pytest.param([object()], id="[object()]")], ids=repr
)
def test_what_is_no_tag_is_refused_when_the_function_is_decorated(tags):
    with pytest.raises(TypeError):
        cached(tags=tags)(page)


def test_an_instance_that_is_not_saved_has_no_tag():
    with pytest.raises(ValueError, match="not saved"):
        cached(tags=[Product()])(page)


@pytest.mark.parametrize(
    ("returned", "error"),
    [
        (3, TypeError),
        ([3], TypeError),
        (None, TypeError),
        (Product(), ValueError),
        ("", ValueError),
    ],
    ids=repr,
)
def test_a_callable_that_returns_no_tags_fails_the_call_and_does_not_cache_without(returned, error):
    decorated = cached(tags=lambda: returned, name="front")(lambda: 1)
    with pytest.raises(error):
        decorated()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "tags",
    [
        Unregistered,
        "testapp.unregistered",
        "testapp.unregistered:{pk}",
        lambda pk: Unregistered,
        lambda pk: Unregistered(pk=pk),
    ],
    ids=["model", "tag", "template", "callable of a model", "callable of an instance"],
)
def test_writes_to_a_model_that_is_named_reach_the_reader_though_it_has_no_rule(tags):
    assert Unregistered not in registry.rules

    @cached(tags=tags, name="unregistered-names")
    def names(pk):
        return list(Unregistered.objects.filter(pk=pk).values_list("name", flat=True))

    assert names(1) == []
    row = Unregistered.objects.create(pk=1, name="a")
    assert names(1) == ["a"]
    row.name = "b"
    row.save()
    assert names(1) == ["b"]
    update_behind_the_back(Unregistered.objects.all(), name="unseen")
    assert names(1) == ["b"], "nothing was stored"
    row.delete()
    assert names(1) == []


def test_no_tags_are_not_the_same_as_an_empty_list_of_them():
    assert not cached(tags=[])(page).records
    assert cached(tags=None)(page).records
    assert cached()(page).records


@pytest.mark.django_db(transaction=True)
def test_an_instance_stands_for_its_row_and_not_for_others():
    with registry.override(Product, ModelInvalidation):
        mine, other = (Product.objects.create(name=name) for name in "ab")
        calls = []

        @cached(tags=[mine])
        def name():
            calls.append(1)
            return Product.objects.get(pk=mine.pk).name

        assert name() == "a"
        other.save()
        assert (name(), len(calls)) == ("a", 1)
        mine.name = "changed"
        mine.save()
        assert name() == "changed"


def test_long_values_lead_to_the_same_tag_for_reader_and_writer():
    calls = []

    @cached(tags=["n:{name}"])
    def count(name):
        calls.append(name)
        return len(calls)

    long = "x" * 400
    assert count(long) == count(long) == 1
    invalidate(tags=["n:*"])
    assert count(long) == 2


@pytest.mark.parametrize("tag", ["category:*", "testapp.product:*"])
def test_depending_on_a_family_tag_is_refused_since_writes_to_known_rows_do_not_drop_it(tag):
    with pytest.raises(TemplateError, match="family tag"):
        cached(tags=[tag])(len_of_nothing)


def len_of_nothing() -> int:
    return 0
