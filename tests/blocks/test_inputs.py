"""What a block has looked at is what it is cached by."""

from datetime import UTC, datetime, timedelta
from datetime import timezone as fixed_zone
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.template import Context, RequestContext
from django.test import RequestFactory, override_settings
from django.utils import timezone, translation
from django.utils.functional import SimpleLazyObject
from django.utils.safestring import mark_safe
from rest_framework.request import Request

from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])


def test_a_name_that_is_looked_at_is_an_input_and_no_other(site):
    site.write(page="{% cached %}{% seen %}{{ name }}{% endcached %}")
    assert site.render("page", name="Ann") == "Ann"
    assert site.render("page", name="Bob") == "Bob"
    assert not site.rendered("page", name="Ann")
    assert not site.rendered("page", name="Bob", further=3)


def test_a_name_that_is_not_there_is_an_input(site):
    site.write(page="{% cached %}{% seen %}{{ name|default:'nobody' }}{% endcached %}")
    assert site.render("page") == "nobody"
    assert not site.rendered("page")
    assert site.render("page", name="Ann") == "Ann"
    assert site.render("page", name=None) == "nobody"


@pytest.mark.parametrize("value", [mark_safe("<b>"), "<b>"], ids=["safe", "text"])
def test_text_that_is_safe_and_text_that_is_not_are_told_apart(site, value):
    site.write(page="{% cached %}{{ value }}{% endcached %}")
    site.render("page", value="<b>")
    site.render("page", value=mark_safe("<b>"))
    expected = "<b>" if hasattr(value, "__html__") else "&lt;b&gt;"
    assert site.render("page", value=value) == expected


@pytest.mark.parametrize(
    "name", ["default", "zlib", "redis_django", "locmem"], ids=["pickle", "json", "django", "local"]
)
def test_what_a_block_gives_back_is_safe_with_every_serializer(site, name):
    site.write(
        page="{% filter upper %}{% cached %}{% seen %}<b>{{ x }}ä\ud800{% endcached %}"
        "{% endfilter %}"
    )
    with override_settings(CACHE_INVALIDATION={"CACHE": name}):
        first = site.render("page", x="&")
        assert site.render("page", x="&") == first == "<B>&AMP;Ä\ud800"
        assert not site.rendered("page", x="&")


def test_names_that_are_set_inside_are_no_inputs(site):
    site.write(
        page="{% cached %}{% seen %}{% with x=1 %}{{ x }}{% endwith %}"
        "{% for y in 'ab' %}{{ y }}{% endfor %}{% endcached %}"
    )
    assert site.render("page") == "1ab"
    assert not site.rendered("page", x=2, y=3)


def test_a_row_is_an_input_with_all_it_carries(site):
    category = Category.objects.create(name="Tea")
    site.write(page="{% cached %}{% seen %}{{ category.name }}{% endcached %}")
    site.render("page", category=category)
    assert not site.rendered("page", category=Category.objects.get())
    assert site.render("page", category=Category(pk=category.pk, name="Unsaved")) == "Unsaved"


def test_a_query_is_an_input_and_its_rows_are_dependencies(site):
    category = Category.objects.create(name="Tea")
    Product.objects.create(name="Assam", category=category)
    site.write(
        page="{% cached %}{% seen %}{% for p in products %}{{ p }},{% endfor %}{% endcached %}"
    )
    assert site.render("page", products=Product.objects.order_by("name")) == "Assam,"
    assert not site.rendered("page", products=Product.objects.order_by("name"))
    assert site.render("page", products=Product.objects.filter(name="Darjeeling")) == ""
    Product.objects.create(name="Ceylon")
    assert site.render("page", products=Product.objects.order_by("name")) == "Assam,Ceylon,"
    Product.objects.filter(name="Ceylon").update(name="Cha")
    assert site.render("page", products=Product.objects.order_by("name")) == "Assam,Cha,"


def test_what_is_loaded_while_rendering_is_a_dependency(site):
    category = Category.objects.create(name="Tea")
    Product.objects.create(name="Assam", category=category)
    site.write(page="{% cached %}{% seen %}{{ product.category.name }}{% endcached %}")
    assert site.render("page", product=Product.objects.get()) == "Tea"
    assert not site.rendered("page", product=Product.objects.get())
    Category.objects.update(name="Black tea")
    assert site.render("page", product=Product.objects.get()) == "Black tea"


def test_further_inputs_are_compared_by_value(site):
    site.write(page="{% cached 300 sidebar x y.pk %}{% seen %}{% endcached %}")
    category = Category.objects.create(name="Tea")
    assert site.rendered("page", x=1, y=category)
    assert not site.rendered("page", x=1, y=Category.objects.get())
    assert site.rendered("page", x="1", y=category)
    assert site.rendered("page", x=1)


def test_the_language_is_an_input(site):
    site.write(page="{% load i18n %}{% cached %}{% seen %}{% translate 'Yes' %}{% endcached %}")
    for language, expected in [("en", "Yes"), ("de", "Ja"), ("en", "Yes"), ("de", "Ja")]:
        with translation.override(language):
            assert site.render("page") == expected


def test_the_time_zone_and_whether_it_is_used_are_inputs(site):
    moment = datetime(2026, 1, 1, 12, tzinfo=UTC)
    site.write(
        page="{% load tz %}{% cached %}{{ t|date:'H' }}{% endcached %}"
        "{% localtime off %}{% include 'part' %}{% endlocaltime %}{% include 'part' %}",
        part="{% cached %}{{ t|date:'H' }}{% endcached %}",
    )
    for hours, expected in [(0, "121212"), (2, "141214"), (0, "121212")]:
        with timezone.override(timezone.get_fixed_timezone(hours * 60)):
            assert site.render("page", t=moment) == expected


def test_time_zones_of_one_name_are_told_apart(site):
    site.write(page="{% cached %}{{ time|date:'H' }}{% endcached %}")
    time = datetime(2026, 11, 1, tzinfo=UTC)
    for hours in (1, 5):
        with timezone.override(fixed_zone(timedelta(hours=hours), "browser")):
            assert site.render("page", time=time) == f"0{hours}"


def test_what_is_too_deep_to_be_compared_breaks_no_template(site):
    site.write(page="{% cached 300 name deep %}{{ deep|length }}{% endcached %}")
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    assert site.render("page", deep=deep) == "1"
    assert site.reasons == {"opaque"}


def test_whether_text_is_escaped_is_an_input(site):
    site.write(
        part="{% cached %}{{ x }}{% endcached %}",
        page="{% include 'part' %}{% autoescape off %}{% include 'part' %}{% endautoescape %}",
    )
    for _ in range(2):
        assert site.render("page", x="<") == "&lt;<"


def test_the_request_records(site):
    site.write(page="{% cached %}{% seen %}{{ request.GET.q }}{{ user.username }}{% endcached %}")
    ann, bob = User.objects.create(username="ann"), User.objects.create(username="bob")

    def request(address, user):
        made = RequestFactory().get(address)
        made.user = User.objects.get(pk=user.pk) if user.pk else user
        return made

    assert site.render("page", request("/?q=1", ann)) == "1ann"
    assert site.render("page", request("/?q=1", bob)) == "1bob"
    assert site.render("page", request("/?q=2", ann)) == "2ann"
    assert site.render("page", request("/", AnonymousUser())) == ""
    assert not site.rendered("page", request("/?q=1&utm_source=x", ann))


@pytest.mark.parametrize(
    "name", ["method", "LANGUAGE_CODE", "current_app", "urlconf", "encoding", "content_type"]
)
def test_what_django_keeps_on_the_request_is_an_input(site, name):
    site.write(page=f"{{% cached %}}{{% seen %}}{{{{ request.{name} }}}}{{% endcached %}}")
    for value in ("GET", "HEAD", "POST"):
        request = RequestFactory().get("/")
        request.user = AnonymousUser()
        setattr(request, name, value)
        assert site.render("page", request) == value
        assert not site.rendered("page", request)


def test_whoever_asks_elsewhere_for_the_user_is_told_as_well(site):
    site.write(page="{% cached %}{% who %}{% endcached %}")
    for name in ("Ann", "Bob", "Ann"):
        request = RequestFactory().get("/")
        vars(request).update(_cached_user=User(username=name), user=User(username=name))
        assert site.render("page", request) == name


def test_it_matters_whether_there_is_a_request(site):
    site.write(page="{% cached %}{% asked_for %}{% endcached %}")
    request = RequestFactory().get("/")
    request.user = AnonymousUser()
    plain, named = Context(), Context({"request": request})
    for context in (plain, named, RequestContext(request)) * 2:
        expected = "/" if isinstance(context, RequestContext) else "nothing"
        assert site.engine.get_template("page").render(context) == expected


@pytest.mark.parametrize(
    "like", [Request, lambda found: SimpleLazyObject(lambda: found)], ids=["rest", "lazy"]
)
def test_what_cannot_record_is_not_stored(site, like):
    site.write(page="{% cached %}{% asked_for %}{% endcached %}")
    for path in ("/a", "/b", "/a"):
        request = like(RequestFactory().get(path))
        request.user = AnonymousUser()
        assert site.render("page", request) == path
    assert site.reasons == {"opaque"}


def test_what_takes_one_name_of_the_context_looks_at_that(site):
    site.write(page="{% cached %}{% seen %}{% look_up 'name' %}{% endcached %}")
    assert site.render("page", name="Ann") == "Ann"
    assert not site.rendered("page", name="Ann", other=1)
    assert site.render("page", name="Bob") == "Bob"
    assert site.render("page") == "nothing"


def test_what_takes_the_whole_context_looks_at_all_of_it(site):
    site.write(page="{% cached %}{% seen %}{% all_names %}{% endcached %}")
    assert "x=1" in site.render("page", x=1)
    assert not site.rendered("page", x=1)
    assert "x=2" in site.render("page", x=2)
    assert "y=3" in site.render("page", x=1, y=3)


def test_inclusion_tags_look_at_what_they_take(site):
    site.write(
        page="{% cached %}{% seen %}{% includes 'hello' %}{% endcached %}",
        included="{{ label }} {{ name }}",
    )
    assert site.render("page", name="Ann") == "hello Ann"
    assert not site.rendered("page", name="Ann", other=1)
    assert site.render("page", name="Bob") == "hello Bob"


def test_what_nobody_can_compare_is_not_stored(site):
    site.write(page="{% cached %}{% seen %}{{ function }}{% endcached %}")
    for _ in range(2):
        assert site.rendered("page", function=lambda: 3)
    assert site.reasons == {"opaque"}


def test_a_context_that_begins_empty_can_be_set(site):
    template = site.engine.from_string("{% cached %}{{ x }}{% endcached %}")
    for value in (1, 2):
        context = Context()
        context["x"] = value
        assert template.render(context) == str(value)
