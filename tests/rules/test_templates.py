"""Templates: what they accept, what they render, what stands for all of their values."""

from decimal import Decimal
from typing import Any

import pytest
from django.db.models import DecimalField, IntegerField

from cache_invalidation.exceptions import TemplateError
from cache_invalidation.rules.templates import (
    Template,
    as_stored,
    parse,
    problem_with,
    resolver_for,
)
from cache_invalidation.tags import MAX_LENGTH
from tests.testapp.models import Category, Place, Product, Restaurant


def render(source: str, kind: Any = "tag", **values: Any) -> str:
    return Template(source, kind).render(lambda path: values[path])


@pytest.mark.parametrize(
    "source",
    [
        "a:{}",
        "a:{0}",
        "a:{b.c}",
        "a:{b[0]}",
        "a:{b!r}",
        "a:{b:>3}",
        "a:{b",
        "a:b}",
        "a:{b c}",
        "a:{b-c}",
        "a:{__b}",
        "a:{b__}",
        "a:{b____c}",
    ],
)
def test_what_is_no_plain_name_is_refused(source):
    with pytest.raises(TemplateError) as caught:
        parse(source)
    assert repr(source) in str(caught.value)


@pytest.mark.parametrize("source", ["{slug}", "category{slug}", "{a}:{b}", "{{a{slug}", "{{{slug}"])
def test_a_tag_needs_a_literal_family_before_its_first_placeholder(source):
    with pytest.raises(TemplateError, match="literal family"):
        Template(source, "tag")


@pytest.mark.parametrize("source", ["{slug}:x", "p{slug}"])
def test_a_key_needs_no_family(source):
    assert render(source, "key", slug="s") == source.replace("{slug}", "s")


@pytest.mark.parametrize("source", ["", " ", "x" * 251, "a\nb", None])
def test_a_template_is_a_usable_name_itself(source):
    with pytest.raises(ValueError, match="A tag must"):
        Template(source)


@pytest.mark.parametrize(
    "source", ["a*", "a:4*", "a:{slug}*", "a:{slug}:*", "a*:{slug}", "a:*{slug}"]
)
def test_a_tag_is_no_pattern(source):
    with pytest.raises(TemplateError, match="no pattern"):
        Template(source)
    assert Template(f"p{source}", "pattern").source == f"p{source}"


@pytest.mark.parametrize("source", ["a:*", "*"])
def test_a_family_and_everything_are_tags(source):
    assert Template(source).collapsed() == source


@pytest.mark.parametrize("source", ["*", "**"])
def test_a_pattern_that_matches_everything_is_refused(source):
    with pytest.raises(TemplateError, match="every key"):
        Template(source, "pattern")


@pytest.mark.parametrize("source", ["{slug}", "{slug}*", "*{slug}", "{slug}{name}"])
def test_a_pattern_that_matches_everything_for_an_empty_value_is_refused(source):
    with pytest.raises(TemplateError, match="every key"):
        Template(source, "pattern")


def test_placeholders_are_replaced_wherever_they_stand():
    assert render("a:{b}:x:{c__d}", b=1, c__d="y") == "a:1:x:y"


def test_a_template_without_placeholders_is_itself():
    template = Template("homepage")
    assert not template.paths
    assert template.render(lambda path: pytest.fail(path)) == "homepage"
    assert template.collapsed() == "homepage"


def test_doubled_braces_are_literal_for_the_rendered_and_for_the_collapsed_tag():
    template = Template("{{a}}:{b}")
    assert template.render(lambda path: 1) == "{a}:1"
    assert template.collapsed() == "{a}:*"


def test_a_tag_escapes_values_that_could_stand_for_others():
    assert render("a:{b}", b="*") == "a:%2A"
    assert render("a:{b}", b="x\ny") == "a:x%0Ay"


def test_a_pattern_takes_values_literally_and_a_key_leaves_them_alone():
    assert render("a:{b}:*", "pattern", b="x*[y]") == r"a:x\*\[y\]:*"
    assert render("a:{b}", "key", b="x*[y]") == "a:x*[y]"


def test_an_instance_stands_for_its_key():
    assert render("a:{b}", b=Category(pk=7)) == "a:7"
    assert render("a:{b}", "key", b=Category(pk=7)) == "a:7"


def test_a_long_tag_is_shortened_within_its_family_and_a_long_key_is_refused():
    tag = render("a:{b}", b="x" * 300)
    assert tag.startswith("a:")
    assert len(tag) <= MAX_LENGTH
    with pytest.raises(ValueError, match="longer than"):
        render("a:{b}", "key", b="x" * 300)


@pytest.mark.parametrize(
    ("source", "kind", "expected"),
    [
        ("category:{slug}:{lang}", "tag", "category:*"),
        ("page:{slug}:{lang}", "key", "page:*:*"),
        ("page:{slug}{lang}!", "key", "page:*!"),
        ("100%*:{slug}", "key", r"100%\*:*"),
        ("page:{slug}*", "pattern", "page:*"),
        ("p?ge:{slug}:*", "pattern", "p?ge:*:*"),
    ],
)
def test_one_name_stands_for_every_value(source, kind, expected):
    assert Template(source, kind).collapsed() == expected


def test_a_path_follows_relations_and_columns():
    resolve = resolver_for(Product(pk=3, name="x", category=Category(pk=7, slug="shoes")))
    assert resolve("pk") == 3
    assert resolve("id") == 3
    assert resolve("name") == "x"
    assert resolve("category_id") == 7
    assert resolve("category__slug") == "shoes"
    assert resolve("category__pk") == 7
    assert resolve("category").pk == 7


def test_behind_a_null_relation_every_path_is_none():
    resolve = resolver_for(Product())
    assert resolve("category") is None
    assert resolve("category__slug") is None
    assert resolve("category__products__first") is None


def test_the_key_of_a_multi_table_child_is_that_of_its_parent():
    child = Restaurant(pk=5, name="x")
    assert resolver_for(child)("pk") == 5
    assert resolver_for(child)("place_ptr_id") == 5
    assert resolver_for(child)("place_ptr__name") == "x"


def test_an_unknown_attribute_is_an_error_for_the_caller_to_handle():
    with pytest.raises(AttributeError):
        resolver_for(Product())("nope")


@pytest.mark.parametrize(
    ("name", "given", "stored"),
    [
        ("stock", "3", 3),
        ("stock", 3.0, 3),
        ("price", Decimal(1), Decimal("1.00")),
        ("price", "1.5", Decimal("1.50")),
        ("price", 2, Decimal("2.00")),
        ("category", "7", 7),
        ("name", 12, "12"),
        ("stock", None, None),
    ],
)
def test_a_value_is_spelled_as_the_database_would_return_it(name, given, stored):
    field: Any = Product._meta.get_field(name)
    assert str(as_stored(field, given)) == str(stored)


@pytest.mark.parametrize("value", ["many", object(), [1]])
@pytest.mark.parametrize("field", [IntegerField(), DecimalField(max_digits=4, decimal_places=2)])
def test_a_value_that_the_field_cannot_hold_is_left_as_it_is(field, value):
    assert as_stored(field, value) is value


def test_a_decimal_of_any_precision_is_left_as_it_is():
    field: Any = DecimalField()  # Django 6.1 takes that for a column of any precision
    assert as_stored(field, Decimal("1.50")) == Decimal("1.50")


def test_a_decimal_of_more_digits_than_the_context_of_python_has_is_no_problem():
    field: Any = DecimalField(max_digits=40, decimal_places=2)
    assert as_stored(field, Decimal(10**35)) == Decimal(10**35)


@pytest.mark.parametrize(
    "path", ["pk", "id", "name", "category", "category_id", "category__slug", "category__pk"]
)
def test_a_path_that_can_be_resolved_is_no_problem(path):
    assert problem_with(path, Product) is None


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("nope", "testapp.Product has no field or property 'nope'"),
        ("category__nope", "testapp.Category has no field or property 'nope'"),
        ("name__lower", "'lower' follows something that is not a relation"),
        ("category_id__slug", "'slug' follows something that is not a relation"),
        ("tags", "testapp.Product.tags has many values"),
        ("reviews__text", "testapp.Product.reviews has many values"),
        ("save", "testapp.Product has no field or property 'save'"),
    ],
)
def test_a_path_that_cannot_be_resolved_is_explained(path, problem):
    assert problem_with(path, Product) == problem


def test_a_path_may_lead_to_a_child_and_back():
    assert problem_with("restaurant__cuisine", Place) is None
    assert problem_with("place_ptr__city", Restaurant) is None
