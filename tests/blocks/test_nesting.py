"""Blocks in blocks: the outer one depends on what the inner one does, and has its inputs."""

import pytest
from django.contrib.auth.models import User
from django.template import Context, RequestContext
from django.test import RequestFactory

from tests.testapp.models import Category

pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])

OUTER = "{% cached %}{% seen %}[{% include 'inner' %}]{% endcached %}"


def test_the_outer_block_has_the_inputs_of_an_inner_one_that_is_a_hit(site):
    site.write(outer=OUTER, inner="{% cached %}{{ name }}{% endcached %}")
    for name in ("Ann", "Bob"):
        assert site.render("inner", name=name) == name
    for name in ("Ann", "Bob", "Ann", "Bob"):
        assert site.render("outer", name=name) == f"[{name}]"
    assert not site.rendered("outer", name="Ann", other=3)


def test_the_outer_block_has_what_the_inner_one_looked_at_of_the_request(site):
    site.write(
        outer=OUTER, inner="{% cached %}{{ request.GET.q }}{{ request.user }}{% endcached %}"
    )
    users = {name: User.objects.create(username=name) for name in ("ann", "bob")}

    def request(name):
        made = RequestFactory().get(f"/?q={name}&x=1")
        made.user = users[name]
        return made

    for name in users:
        assert site.render("inner", request(name)) == name * 2
    for name in ("ann", "bob", "ann", "bob"):
        assert site.render("outer", request(name)) == f"[{name * 2}]"
    assert not site.rendered("outer", request("ann"))


def test_the_outer_block_depends_on_what_the_inner_one_depends_on(site):
    Category.objects.create(name="Tea")
    site.write(
        outer=OUTER, inner="{% cached %}{% for c in cs %}{{ c.name }}{% endfor %}{% endcached %}"
    )
    assert site.render("inner", cs=Category.objects.all()) == "Tea"
    assert site.render("outer", cs=Category.objects.all()) == "[Tea]"
    assert not site.rendered("outer", cs=Category.objects.all())
    Category.objects.update(name="Coffee")
    assert site.render("outer", cs=Category.objects.all()) == "[Coffee]"


def test_the_outer_block_has_the_sources_of_the_inner_one(site):
    site.write(outer=OUTER, inner="{% cached %}{% include 'part' %}{% endcached %}", part="one")
    assert site.render("inner") == "one"
    assert site.render("outer") == "[one]"
    site.write(part="two")
    assert site.render("outer") == "[two]"


def test_the_outer_block_has_the_loop_of_the_inner_one(site):
    site.write(
        page="{% for x in xs %}{% include 'outer' %}{% endfor %}",
        outer=OUTER,
        inner="{% cached %}{{ forloop.counter }}{% endcached %}",
    )
    for _ in range(3):
        assert site.render("page", xs="abc") == "[1][2][3]"


def test_what_is_set_in_the_outer_block_is_no_input_of_it(site):
    site.write(
        outer="{% cached %}{% seen %}{% with name=1 %}{% include 'inner' %}{% endwith %}"
        "{% endcached %}",
        inner="{% cached %}{{ name }}{% endcached %}",
    )
    assert site.render("outer", name=5) == "1"
    assert not site.rendered("outer", name=6)


def test_what_keeps_the_inner_one_from_being_stored_does_so_for_the_outer_one(site):
    site.write(outer=OUTER, inner="{% cached %}{% csrf_token %}{% endcached %}")
    for token in ("1", "2"):
        assert token in site.render("outer", csrf_token=token)
    assert site.reasons == {"csrf"}


def test_what_an_inner_block_sets_is_there_after_the_outer_one(site):
    site.write(
        page="{% cached %}{% cached %}{% look_up 'y' as x %}{% cycle 'a' 'b' as c %}{% endcached %}"
        "{% endcached %}{{ x }}{% cycle c %}"
    )
    for _ in range(3):
        assert site.render("page", y="1") == "a1b"


def test_what_is_left_of_the_context_is_what_was_there(site):
    template = site.engine.from_string("{% cached %}{% if x %}{{ x.y }}{% endif %}{% endcached %}")
    request = RequestFactory().get("/")
    context = RequestContext(request, {"x": {"y": 1}})
    dicts, kind = list(context.dicts), type(request)
    template.render(context)
    assert context.dicts == dicts
    assert type(request) is kind
    assert template.render(Context()) == ""
