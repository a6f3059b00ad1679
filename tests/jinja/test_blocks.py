"""``{% cached %}`` in templates of Jinja2: what it is looked for by, and what drops it."""

from copy import copy
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.contrib.messages.storage.cookie import CookieStorage
from django.http import HttpResponse
from django.middleware.csrf import get_token
from django.template import engines
from django.test import RequestFactory, override_settings
from django.utils import translation
from django.utils.functional import SimpleLazyObject
from jinja2 import (
    FileSystemBytecodeCache,
    StrictUndefined,
    TemplateNotFound,
    TemplateRuntimeError,
    TemplateSyntaxError,
)
from markupsafe import Markup

from cache_invalidation import cached, invalidate
from cache_invalidation.middleware import CachePageMiddleware
from cache_invalidation.views import cache_page
from tests.jinja.functions import Taking
from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db

writing = pytest.mark.django_db(transaction=True)

SEEN = "{{ seen() }}"
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)


def block(inside, given=""):
    return f"{{% cached {given} %}}{SEEN}{inside}{{% endcached %}}"


def twice(site, source, **names):
    """Render twice; return the text, and whether it was cached."""
    (first, times), (second, again) = site.rendered(source, **names), site.rendered(source, **names)
    assert (first, times) == (second, 1)
    return first, again == 0


def test_a_block_is_rendered_once_for_each_value_of_its_names(site):
    source = block("{{ a }}{% if b %}{{ c.d }}{% endif %}")
    assert twice(site, source, a=1, b=0) == ("1", True)
    assert twice(site, source, a="1", b=0) == ("1", True)
    assert twice(site, source, a="<", b=1, c={"d": 2}) == ("&lt;2", True)
    assert twice(site, source, a="<", b=1, c={"d": 3}) == ("&lt;3", True)
    assert site.rendered(source, a=1, b=0, other=5) == ("1", 0)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("{% for x in xs %}{% cached %}{{ x }}{{ loop.index }}{% endcached %}{% endfor %}", "1121"),
        ("{% for x in xs %}{% cached %}{{ x }}{% endcached %}{% endfor %}", "12"),
        ("{% set y = 7 %}{% cached %}{{ y }}{% endcached %}", "7"),
        ("{% with y = xs[1] %}{% cached %}{{ y }}{% endcached %}{% endwith %}", "2"),
        (
            "{% macro m(y) %}{% cached %}{{ y }}{% endcached %}{% endmacro %}{{ m(1) }}{{ m(2) }}",
            "12",
        ),
        ("{% cached %}{% for x in xs %}{{ loop.index }}{{ x }}{% endfor %}{% endcached %}", "1122"),
        ("{% cached %}{% set a = 1 %}{{ a }}{% endcached %}{{ a }}", "1outer"),
        ("{% cached %}{% macro m(y) %}{{ y }}{% endmacro %}{{ m(3) }}{% endcached %}", "3"),
        ("{% cached %}{{ xs|map('string')|join('-') }}{% endcached %}", "1-2"),
        ("{% cached %}{{ xs|select('odd')|list }}{% endcached %}", "[1]"),
        ("{% cached %}{{ nothing }}{{ nothing is defined }}{% endcached %}", "False"),
        ("{% cached %}{% filter upper %}x{{ a }}{% endfilter %}{% endcached %}", "XOUTER"),
        ("{% cached %}{{ '&'|marked }}{% endcached %}", "&amp;{%"),
        ("{% autoescape false %}{% cached %}{{ '<' }}{% endcached %}{% endautoescape %}", "<"),
        ("{% cached %}{% cached %}{{ a }}{% endcached %}{{ xs[0] }}{% endcached %}", "outer1"),
        ("{% cached %}{% trans n=a %}Yes {{ n }}{% endtrans %}{% endcached %}", "Yes outer"),
        (
            "{% cached None %}{{ a }}{% endcached %}{% cached 0 %}{{ a }}{% endcached %}",
            "outerouter",
        ),
        ("{% cached 60, 'name', xs, a %}-{% endcached %}", "-"),
        ("{% cached %}{% for x in range(3) %}{{ x }}{% endfor %}{% endcached %}", "012"),
        ("{% cached %}{% set c = cycler(1, 2) %}{{ c.next() }}{{ c.next() }}{% endcached %}", "12"),
    ],
    ids=str,
)
def test_a_hit_shows_what_the_block_shows(site, source, expected):
    if "loop.index }}{% endcached" in source:
        expected = "1122"
    for _ in range(3):
        assert site.render(source, xs=[1, 2], a="outer") == expected
    hits = site.counted["hits"]
    assert hits or site.reasons() == {"opaque"}


@writing
def test_what_is_read_inside_drops_it(site):
    category = Category.objects.create(name="desks")
    product = Product.objects.create(name="desk", price=1, category=category)
    source = block("{% for p in products() %}{{ p.name }}{% endfor %}{{ product.category.name }}")
    site.env.globals["products"] = all_products

    def show():
        return site.rendered(source, product=Product.objects.get(pk=product.pk))

    assert [show(), show()] == [("deskdesks", 1), ("deskdesks", 0)]
    Product.objects.update(name="lamp")
    assert [show(), show()] == [("lampdesks", 1), ("lampdesks", 0)]
    Category.objects.update(name="lamps")
    assert [show(), show()] == [("lamplamps", 1), ("lamplamps", 0)]


def all_products():
    return Product.objects.order_by("pk")


@writing
def test_a_queryset_of_the_context_is_told_by_its_query_and_its_rows(site):
    Product.objects.create(name="desk", price=1)
    source = block("{% for p in products %}{{ p.name }}{% endfor %}")
    for _ in range(2):
        assert site.render(source, products=Product.objects.filter(name="desk")) == "desk"
        assert site.render(source, products=Product.objects.filter(name="lamp")) == ""
    assert site.counted["hits"] == 2
    Product.objects.create(name="lamp", price=1)
    assert site.render(source, products=Product.objects.filter(name="lamp")) == "lamp"


def test_a_template_that_is_included_is_part_of_it(site):
    site.sources["row.html"] = "{{ a }}{% include 'cell.html' ignore missing %}"
    source = block("{% include 'row.html' %}")
    assert twice(site, source, a=1, b=2) == ("1", True)
    assert twice(site, source, a=2, b=2) == ("2", True)
    site.sources["cell.html"] = "-{{ b }}"
    assert twice(site, source, a=1, b=2) == ("1-2", True)
    assert twice(site, source, a=1, b=3) == ("1-3", True)
    site.sources["cell.html"] = "+{{ b }}"
    assert twice(site, source, a=1, b=3) == ("1+3", True)


def test_so_is_one_that_extends_another_and_one_that_has_macros(site):
    site.sources["base.html"] = "<{% block x %}{{ a }}{% endblock %}>"
    site.sources["child.html"] = (
        "{% extends 'base.html' %}{% block x %}{{ super() }}{{ b }}{% endblock %}"
    )
    site.sources["forms.html"] = "{% macro field(x) %}[{{ x }}{{ site }}]{% endmacro %}"
    source = block(
        "{% include ['none.html', 'child.html'] %}{% import 'forms.html' as f %}{{ f.field(c) }}"
    )
    names = {"a": 1, "b": 2, "c": 3}
    assert twice(site, source, **names) == ("<12>[3]", True)
    for name in names:
        found, is_cached = twice(site, source, **{**names, name: 9})
        assert is_cached
        assert "9" in found
    site.sources["forms.html"] = "{% macro field(x) %}({{ x }}){% endmacro %}"
    assert twice(site, source, **names) == ("<12>(3)", True)


def test_a_template_that_is_missing_is_missed(site):
    for _ in range(2):
        with pytest.raises(TemplateNotFound):
            site.render(block("{% include 'none.html' %}"))


def test_another_source_is_another_block(site):
    assert twice(site, block("a")) == ("a", True)
    assert twice(site, block("b")) == ("b", True)


@pytest.mark.parametrize(
    ("inside", "reason"),
    [
        ("{{ from_context('secret') }}", "context"),
        ("{{ 'x'|secretly }}", "context"),
        ("{{ 'x' is secret }}", "context"),
        ("{{ taking.take() }}", "context"),
        ("{{ xs|map('secretly')|list }}", "context"),
        ("{{ xs|map(which)|list }}", "filter"),
        ("{{ xs|select('secret')|list }}", "context"),
        ("{{ xs|select(*['string'])|list }}", "filter"),
        ("{% include which_template %}", "template"),
        ("{% block x %}{% endblock %}", "template"),
        ("{% do xs.append(3) %}", "state"),
        ("{{ xs.append(3) }}", "state"),
        ("{{ xs.append(3) }}{% include 'x.html' %}", "state"),
        ("{{ function() }}", "opaque"),
        ("{{ rows }}", "opaque"),
        ("{{ outside(3) }}", "opaque"),
        ("{% set ns.x = 4 %}", "state"),
        ("{{ csrf_token }}", "csrf"),
        ("{{ csrf_input }}", "csrf"),
    ],
    ids=str,
)
def test_what_nobody_can_tell_is_not_stored(site, inside, reason):
    site.sources["x.html"] = "x"
    source = (
        "{% macro outside(x) %}{{ x }}{{ secret }}{% endmacro %}{% set ns = namespace(x=1) %}"
        + block(inside)
        + "{{ ns.x }}{{ xs }}"
    )
    for number in (1, 2):
        names = {"secret": number, "taking": Taking(), "xs": ["x"], "which": "upper"}
        further = {"which_template": "x.html", "function": lambda: 1, "rows": iter([1])}
        tokens = {"csrf_token": "t", "csrf_input": Markup("<t>")}
        found, times = site.rendered(source, **names, **further, **tokens)
        assert times == 1
        assert found == site.env.from_string(source.replace("cached", "cached 0", 1)).render(
            **{**names, "xs": ["x"]}, **{**further, "rows": further["rows"]}, **tokens
        )
    assert site.reasons() == {reason}


def test_what_is_looked_at_of_the_request_is_an_input_and_nothing_else(site):
    source = block("{{ request.GET.page }}{{ request.user.username }}")

    def show(query, name=""):
        request = RequestFactory().get(f"/?{query}")
        request.user = User(username=name, date_joined=LONG_AGO) if name else AnonymousUser()
        return site.rendered(source, request=request)

    for times in (1, 0):
        assert show("page=1") == ("1", times)
        assert show("page=2") == ("2", times)
        assert show("page=1", "ann") == ("1ann", times)
        assert show("page=1", "bob") == ("1bob", times)
    assert show("page=1&utm_source=mail") == ("1", 0)


def test_a_page_around_it_knows_what_the_block_looks_at(site):
    site.sources["page.html"] = block("{{ request.GET.page }}")

    def view(request):
        return HttpResponse(site.env.get_template("page.html").render(request=request))

    page_views["view"] = view
    handler: Any = CachePageMiddleware(page_of_site)
    with override_settings(ALLOWED_HOSTS=["*"]):
        for _ in range(2):
            for number in "12":
                assert handler(RequestFactory().get(f"/?page={number}")).content.decode() == number


page_views: dict[str, Any] = {}


@cache_page(60)
def page_of_site(request):
    return page_views["view"](request)


def test_messages_are_not_stored(site):
    request = RequestFactory().get("/")
    source = block("{% for m in messages %}{{ m }}{% endfor %}")
    assert twice(site, source, messages=CookieStorage(request)) == ("", True)
    storage = CookieStorage(request)
    storage.add(20, "Saved")
    assert site.rendered(source, messages=storage) == ("Saved", 1)
    assert site.rendered(source, messages=CookieStorage(request)) == ("", 0)


@writing
def test_the_engine_of_django_has_it(settings, tmp_path, counted):
    (tmp_path / "page.html").write_text(
        "{% cached 60, 'menu' %}{{ request.GET.q }}{% endcached %}{{ csrf_input }}"
    )
    backend = "django.template.backends.jinja2.Jinja2"
    options = {"extensions": ["cache_invalidation.jinja.CachedExtension"]}
    settings.TEMPLATES = [{"BACKEND": backend, "DIRS": [tmp_path], "OPTIONS": options}]
    template = engines["jinja2"].get_template("page.html")
    for _ in range(2):
        for query in "ab":
            request = RequestFactory().get(f"/?q={query}")
            text = template.render(request=request)
            assert text.startswith(f"{query}<input")
            assert get_token(request)
    assert counted["hits:block:page.html:menu"] == 2
    invalidate(tags=["block:page.html:menu"])
    template.render(request=RequestFactory().get("/?q=a"))
    assert counted["misses:block:page.html:menu"] == 3


def test_each_language_has_its_text(site):
    source = block("{% trans %}Yes{% endtrans %}")
    for times in (1, 0):
        for language, expected in (("en", "Yes"), ("de", "Ja")):
            with translation.override(language):
                assert site.rendered(source) == (expected, times)


def test_text_is_safe_where_it_is_escaped_already(site, new_site):
    plain = new_site(autoescape=False)
    source = "{{ shown|upper }}"
    outer = "{% set shown %}{% cached %}<{{ a }}>{% endcached %}{% endset %}" + source
    for _ in range(2):
        assert site.render(outer, a="&") == "<&AMP;>"
        assert plain.render(outer, a="&") == "<&>"


def test_compiled_templates_that_are_kept_on_disk(new_site, tmp_path):
    for number in range(3):
        site = new_site(bytecode_cache=FileSystemBytecodeCache(str(tmp_path)))
        found, times = site.rendered(block("{{ a|upper }}"), a="x")
        assert (found, times) == ("X", int(number == 0))


def test_an_exception_is_raised_and_nothing_stored(site):
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            site.render(block("{{ 1 // a }}"), a=0)
    assert site.reasons() == {"exception"}


def test_strictly_undefined_names_are_as_strict(new_site):
    site = new_site(undefined=StrictUndefined)
    assert twice(site, block("{{ a is defined }}")) == ("False", True)
    for _ in range(2):
        with pytest.raises(Exception, match="'b' is undefined"):
            site.render(block("{{ b }}"))


def test_the_cache_may_be_down(site):
    with override_settings(CACHE_INVALIDATION={"CACHE": "missing"}):
        for _ in range(2):
            assert site.rendered(block("{{ a }}"), a=1) == ("1", 1)


def test_what_was_made_for_a_head_is_nobody_elses(site):
    source = block("{{ request.method }}")
    for _ in range(2):
        for method in ("HEAD", "GET", "POST"):
            request = RequestFactory().generic(method, "/")
            assert site.render(source, request=request) == method
    assert site.counted["hits"] == 3


def test_what_is_only_like_a_request_is_not_stored(site):
    source = block("{{ request.GET.q }}")
    for query in "ab":
        request = RequestFactory().get(f"/?q={query}")
        assert site.render(source, request=SimpleLazyObject(partial(copy, request))) == query
    assert site.reasons() == {"opaque"}


@pytest.mark.parametrize("timeout", ["'soon'", "nothing", "[]"])
def test_a_timeout_that_is_none_is_an_error(site, timeout):
    with pytest.raises(TemplateRuntimeError, match="timeout"):
        site.render(f"{{% cached {timeout} %}}{{% endcached %}}")


def test_a_timeout_may_be_a_timedelta(site):
    assert twice(site, block("a", "lifetime"), lifetime=timedelta(minutes=1)) == ("a", True)
    assert site.rendered(block("a", "lifetime"), lifetime=timedelta(0)) == ("a", 1)


@pytest.mark.parametrize(
    "source", ["{% cached 3 4 %}{% endcached %}", "{% cached %}", "{% endcached %}"]
)
def test_bad_syntax_is_said_when_it_is_compiled(site, source):
    with pytest.raises(TemplateSyntaxError):
        site.render(source)


@pytest.mark.parametrize("name", ["a", "b"])
def test_in_an_asynchronous_environment_it_is_just_rendered(new_site, name):
    site = new_site(enable_async=True)
    for _ in range(2):
        assert site.rendered(block("{{ name }}"), name=name) == (name, 1)


@writing
def test_a_cached_function_inside_hands_up_what_it_depends_on(site):
    Product.objects.create(name="desk", price=1)
    site.env.globals["first_name"] = first_name
    source = block("{{ first_name() }}")
    assert twice(site, source) == ("desk", True)
    Product.objects.update(name="lamp")
    assert twice(site, source) == ("lamp", True)


@cached
def first_name():
    return Product.objects.order_by("pk")[0].name


def test_a_setting_that_cannot_be_used_is_the_reason_why_nothing_is_stored(site):
    with override_settings(CACHE_INVALIDATION={"CODE_VERSION": 3}):
        for _ in range(2):
            assert site.rendered("{% cached %}{{ seen() }}{% endcached %}")[1] == 1
    assert site.reasons() == {"settings"}
