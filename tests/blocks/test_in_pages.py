"""Blocks in a page that is cached: the page knows what they have looked at, on a hit as well."""

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.http import HttpResponse
from django.template import Engine, RequestContext
from django.test import RequestFactory, override_settings

from cache_invalidation.middleware import CachePageMiddleware
from cache_invalidation.views import cache_page
from tests.testapp.models import Category

pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])


@pytest.fixture(autouse=True)
def status():
    """Have pages say what became of them."""
    with override_settings(CACHE_INVALIDATION={"CACHE_STATUS": True}):
        yield


#: Not in a closure, or nobody could tell two views apart.
served: dict[str, Engine] = {}


def view(request):
    """Render the template ``page``."""
    context = RequestContext(request, {"categories": Category.objects.all()})
    return HttpResponse(served["engine"].get_template("page").render(context))


def visitor(site, **options):
    """Return a function that visits a page, and tells whether that was a hit."""

    served["engine"] = site.engine
    middleware: Any = CachePageMiddleware(cache_page(300, **options)(view))

    def visit(query="", user=None):
        request = RequestFactory().get("/", {"q": query})
        request.user = User.objects.get(pk=user.pk) if user else AnonymousUser()
        response = middleware(request)
        return response.content.decode(), "hit" in response.headers["Cache-Status"]

    return visit


BLOCK = "{% cached %}{% seen %}{{ request.GET.q }} {{ request.user.username }}{% endcached %}"


def test_a_page_has_the_inputs_of_its_blocks(site):
    site.write(page=f"[{BLOCK}]")
    ann, bob = User.objects.create(username="ann"), User.objects.create(username="bob")
    visit = visitor(site)
    for is_hit in (False, True):
        assert visit("1", ann) == ("[1 ann]", is_hit)
        assert visit("1", bob) == ("[1 bob]", is_hit)
        assert visit("2", ann) == ("[2 ann]", is_hit)
        assert visit("2") == ("[2 ]", is_hit)


def test_a_page_has_the_inputs_of_a_block_that_is_a_hit(site):
    ann, bob = User.objects.create(username="ann"), User.objects.create(username="bob")
    site.write(page=BLOCK)
    first, second = visitor(site), visitor(site, key_prefix="other")
    expected = {("1", ann): "1 ann", ("1", bob): "1 bob", ("2", ann): "2 ann"}
    for visit in (first, second, second):
        for (query, user), text in expected.items():
            assert visit(query, user)[0] == text
    assert second("1", bob) == ("1 bob", True)


@pytest.mark.parametrize("warm", [True, False])
def test_a_coarse_page_is_not_made_from_a_block_for_one_user(site, warm):
    ann, bob = User.objects.create(username="ann"), User.objects.create(username="bob")
    site.write(page=BLOCK)
    if warm:
        for user in (ann, bob):
            visitor(site)("", user)
    coarse = visitor(site, vary_on={"user": lambda user: user.is_staff}, key_prefix="coarse")
    for _ in range(2):
        for user in (ann, bob):
            assert coarse("", user) == (f" {user.username}", False)


def test_a_page_depends_on_what_its_blocks_depend_on(site):
    Category.objects.create(name="Tea")
    site.write(page="{% cached %}{% for c in categories %}{{ c }}{% endfor %}{% endcached %}")
    first, second = visitor(site), visitor(site, key_prefix="other")
    assert first() == ("Tea", False)
    assert second() == ("Tea", False)
    assert second() == ("Tea", True)
    Category.objects.update(name="Coffee")
    assert second() == ("Coffee", False)


def test_a_page_with_a_token_in_a_block_is_not_stored(site):
    site.write(page="{% cached %}{% csrf_token %}{% endcached %}")
    visit = visitor(site)
    assert [visit()[1], visit()[1]] == [False, False]
    assert "csrf" in site.reasons


def test_a_page_is_not_stored_if_its_block_reads_what_nobody_watches(site):
    site.write(
        page="{% cached %}{% for category in categories %}{{ category }}{% endfor %}{% endcached %}"
    )
    excluding = {"CACHE_STATUS": True, "EXCLUDE": ["testapp.Category"]}
    with override_settings(CACHE_INVALIDATION=excluding):
        visit = visitor(site)
        assert visit() == ("", False)
        Category.objects.create(name="Tea")
        assert visit() == ("Tea", False)
