"""What is made for one visit is not stored, and says why; and a failing cache breaks nothing."""

from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from django.conf import settings
from django.contrib import messages
from django.contrib.messages.storage.cookie import CookieStorage
from django.contrib.sessions.backends.signed_cookies import SessionStore
from django.template import Engine, TemplateSyntaxError
from django.template.backends.django import get_installed_libraries
from django.test import RequestFactory, override_settings
from django.utils.functional import SimpleLazyObject

from cache_invalidation import invalidate
from tests.blocks.rendering import LIBRARIES
from tests.testapp.models import Category

pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])


def visit(**attributes):
    request: Any = RequestFactory().get("/")
    request._messages = CookieStorage(request)
    request.session = SessionStore()
    for name, value in attributes.items():
        setattr(request, name, value)
    return request


@pytest.mark.parametrize("text", ["{% csrf_token %}", "{{ csrf_token }}", "{% includes 'x' %}"])
def test_a_token_that_is_shown_is_not_stored(site, text):
    site.write(
        page=f"{{% cached %}}{{% seen %}}{text}{{% endcached %}}", included="{% csrf_token %}"
    )
    assert site.render("page", visit()) != site.render("page", visit())
    assert site.reasons == {"csrf"}


def test_a_token_that_is_handed_on_only_does_not_matter(site):
    site.write(
        page="{% cached %}{% seen %}{% includes 'x' %}{% endcached %}", included="{{ label }}"
    )
    site.render("page", visit())
    assert not site.rendered("page", visit())


def test_messages_are_not_stored_and_that_there_are_none_is(site):
    site.write(
        page="{% cached %}{% seen %}{% for m in messages %}{{ m }}{% endfor %}.{% endcached %}"
    )
    assert site.render("page", visit()) == "."
    assert not site.rendered("page", visit())
    request = visit()
    messages.info(request, "hello")
    assert site.render("page", request) == "hello."
    assert site.reasons == {"messages"}
    assert not site.rendered("page", visit())


@pytest.mark.parametrize("name", ["csp_nonce", "CSP_NONCE"])
def test_a_nonce_is_not_stored(site, name):
    site.write(page=f"{{% cached %}}{{{{ {name} }}}}{{% endcached %}}")
    for nonce in ("1", "2"):
        assert site.render("page", **{name: SimpleLazyObject(partial(str, nonce))}) == nonce
    assert site.reasons == {"nonce"}


def test_the_session_is_not_stored(site):
    site.write(page="{% cached %}{{ request.session.cart }}{% endcached %}")
    for cart in ("1", "2"):
        request = visit()
        request.session["cart"] = cart
        assert site.render("page", request) == cart
    assert site.reasons == {"session"}


def test_an_exception_is_raised_and_nothing_stored(site):
    site.write(page="{% cached %}{% include name %}{{ x.y }}{% endcached %}", part="part")

    class Broken:
        @property
        def y(self):
            raise RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        site.render("page", name="part", x=Broken())
    assert "exception" in site.reasons


def test_a_cache_that_fails_breaks_no_template(site):
    site.write(page="{% cached %}{% seen %}{{ x }}{% endcached %}")
    down = {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}
    with override_settings(
        CACHES={**settings.CACHES, "down": down}, CACHE_INVALIDATION={"CACHE": "down"}
    ):
        assert [site.render("page", x=x) for x in (1, 2, 1)] == ["1", "2", "1"]


def test_timeouts_are_numbers_variables_and_none(site):
    for timeout in ("300", "timeout", "'300'", "None", "0.5", "half_a_minute", ""):
        site.write(page=f"{{% cached {timeout} %}}{{% seen %}}{timeout}{{% endcached %}}")
        names = {"timeout": 60, "half_a_minute": timedelta(seconds=30)}
        site.render("page", **names)
        assert not site.rendered("page", **names), timeout


@pytest.mark.parametrize("timeout", ["0", "-1"])
def test_without_any_time_nothing_is_cached(site, timeout):
    site.write(page=f"{{% cached {timeout} %}}{{% seen %}}{{% endcached %}}")
    assert site.rendered("page")
    assert site.rendered("page")


def test_a_setting_that_cannot_be_used_is_the_reason_why_nothing_is_stored(site):
    with override_settings(CACHE_INVALIDATION={"CODE_VERSION": 3}):
        site.write(page="{% cached %}{% seen %}{% endcached %}")
        assert site.rendered("page")
        assert site.rendered("page")
    assert site.reasons == {"settings"}


def test_a_name_in_the_place_of_the_timeout_is_pointed_out(site):
    site.write(page="{% cached sidebar %}{% endcached %}")
    with pytest.raises(TemplateSyntaxError, match=r"seconds: sidebar is ''\. The timeout comes"):
        site.render("page")


@pytest.mark.parametrize(
    "words", ["300 near='yes'", "300 near=False", "300 Near=True", "near=True 300", "1 near=True x"]
)
def test_near_that_would_be_taken_for_a_name_is_an_error(site, words):
    site.write(page=f"{{% load cache_invalidation %}}{{% cached {words} %}}{{% endcached %}}")
    with pytest.raises(TemplateSyntaxError, match="near=True has to be the last word"):
        site.render("page")


@pytest.mark.parametrize("words", ["near", "300 near", "300 sidebar near"])
def test_near_without_a_value_is_an_error(site, words):
    site.write(page=f"{{% load cache_invalidation %}}{{% cached {words} %}}{{% endcached %}}")
    with pytest.raises(TemplateSyntaxError, match="write near=True"):
        site.render("page")


@pytest.mark.parametrize("timeout", ["'soon'", "unknown"])
def test_what_is_no_timeout_is_an_error(site, timeout):
    site.write(
        page=f"{{% cached {timeout} %}}{{% endcached %}}",
        other=f"{{% load cache %}}{{% cache {timeout} x %}}{{% endcache %}}",
    )
    for name in ("page", "other"):
        with pytest.raises(TemplateSyntaxError, match="timeout"):
            site.render(name)


def test_in_the_place_of_djangos_tag(site):
    site.write(
        page="{% load cache %}{% cache 300 side x using='locmem' %}{% seen %}"
        "{% for c in cs %}{{ c }}{% endfor %}{% endcache %}"
    )
    Category.objects.create(name="Tea")
    names = {"x": 1, "cs": Category.objects.all()}
    assert site.render("page", **names) == "Tea"
    assert not site.rendered("page", x=1, cs=Category.objects.all())
    Category.objects.update(name="Coffee")
    assert site.render("page", x=1, cs=Category.objects.all()) == "Coffee"


@pytest.mark.parametrize(
    ("tag", "error"),
    [
        ("{% cache 300 %}", "at least 2"),
        ("{% cache 300 x using='nowhere' %}", "nowhere"),
        ("{% cache 1.x y %}", "non-integer"),
    ],
)
def test_what_djangos_tag_refuses_is_refused(site, tag, error):
    site.sources["page"] = f"{{% load cache %}}{tag}{{% endcache %}}"
    site.restart()
    with pytest.raises(TemplateSyntaxError, match=error):
        site.render("page")


def test_djangos_tag_stays_unless_it_is_asked_for():
    engine = Engine(libraries={"cache": "django.templatetags.cache"})
    assert LIBRARIES["cache"].startswith("cache_invalidation.")
    assert (
        engine.template_libraries["cache"].tags["cache"].__module__ == "django.templatetags.cache"
    )
    assert get_installed_libraries()["cache"] == "django.templatetags.cache"
    assert "cache_invalidation" in get_installed_libraries()


@pytest.mark.parametrize("tag", ["block:page", "block:page:side", "block:*"])
def test_blocks_are_invalidated_by_their_tag(site, tag):
    site.write(page="{% cached 300 side %}{% seen %}{% endcached %}")
    site.render("page")
    assert not site.rendered("page")
    invalidate(tags=[tag])
    assert site.rendered("page")
