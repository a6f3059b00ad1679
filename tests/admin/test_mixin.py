"""What a project adds to its own admin."""

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.template import engines
from django.test import Client
from django.urls import clear_url_caches, path

from cache_invalidation import cached, registry
from cache_invalidation.admin import InvalidateCacheMixin
from cache_invalidation.models import AuditEntry
from tests.admin import urls
from tests.admin.conftest import last_entry
from tests.delivered import delivered
from tests.ruled import ByCategory
from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])


class ProductAdmin(InvalidateCacheMixin, admin.ModelAdmin):  # type: ignore[type-arg]
    """One that has actions of its own already."""

    actions = ["mark"]
    fields = ["name"]

    def mark(self, request, queryset):
        raise AssertionError("nobody asked for it")


class WithTemplate(ProductAdmin):
    change_form_template = "own_template.html"


class OfOther(ProductAdmin):
    """One whose rows are in another database."""

    def get_queryset(self, request):
        return super().get_queryset(request).using("other")


class WithoutActions(ProductAdmin):
    actions = None  # type: ignore[assignment]


@cached(tags=["category:{number}"])
def read(number: int) -> object:
    return object


@pytest.fixture
def model_admin():
    return ProductAdmin


@pytest.fixture(autouse=True)
def registered(model_admin, settings, monkeypatch):
    site = admin.AdminSite()
    site.register(Product, model_admin)
    monkeypatch.setattr(urls, "urlpatterns", [path("admin/", site.urls)])
    settings.ROOT_URLCONF = ""
    settings.ROOT_URLCONF = "tests.admin.urls"
    clear_url_caches()
    with registry.override(Product, ByCategory):
        yield
    clear_url_caches()


@pytest.fixture
def product():
    return Product.objects.create(name="a", category=Category.objects.create(name="c"))


@pytest.fixture
def editor(as_user):
    """Return a client for who may see products, and may or may not invalidate."""

    def editor(*permissions, codename="view_product"):
        client = as_user(*permissions)
        kind = ContentType.objects.get_for_model(Product)
        found, _ = Permission.objects.get_or_create(codename=codename, content_type=kind)
        User.objects.get().user_permissions.add(found)
        return client

    return editor


def address(product, rest="change/"):
    return f"/admin/testapp/product/{product.pk}/{rest}"


BUTTON = "Invalidate cache</button>"


def test_the_button_invalidates_the_row(editor, product):
    client = editor("invalidate_cache")
    text = client.get(address(product)).content.decode()
    assert BUTTON in text
    assert f'action="{address(product, "invalidate-cache/")}"' in text
    with delivered() as found:
        response = client.post(address(product, "invalidate-cache/"), follow=True)
    assert response.redirect_chain == [(address(product), 302)]
    assert "It was invalidated. It names: category:" in response.content.decode()
    assert f", testapp.product:{product.pk}." in response.content.decode()
    assert f"category:{product.category_id}" in found.tags
    entry = last_entry()
    assert (entry.action, entry.origin, entry.result) == ("invalidate", "admin", "done")
    assert "products" in entry.reason
    assert f"testapp.product:{product.pk}" in entry.targets["tags"]


@pytest.mark.parametrize("model_admin", [OfOther])
@pytest.mark.parametrize("by", ["button", "action"])
def test_rows_of_another_database_are_looked_at_there(editor, by):
    client = editor("invalidate_cache")
    here = Product.objects.create(name="a", category=Category.objects.create(pk=1, name="c"))
    category = Category.objects.using("other").create(pk=7, name="c")
    there = Product.objects.using("other").create(pk=here.pk, name="a", category=category)
    with delivered() as found:
        if by == "button":
            client.post(address(there, "invalidate-cache/"))
        else:
            chosen = {"action": "invalidate_cache", "_selected_action": [there.pk]}
            client.post("/admin/testapp/product/", chosen)
    assert "category:7" in found.tags
    assert "category:1" not in found.tags


def test_the_action_invalidates_the_rows(editor, product):
    client = editor("invalidate_cache")
    other = Product.objects.create(name="b", category=Category.objects.create(name="d"))
    third = Product.objects.create(name="c", category=Category.objects.create(name="e"))
    text = client.get("/admin/testapp/product/").content.decode()
    assert "Invalidate the cache of selected products" in text
    assert 'value="mark"' in text
    with delivered() as found:
        response = client.post(
            "/admin/testapp/product/",
            {"action": "invalidate_cache", "_selected_action": [product.pk, other.pk]},
            follow=True,
        )
    assert "It was invalidated." in response.content.decode()
    assert {f"category:{product.category_id}", f"category:{other.category_id}"} <= found.tags
    assert f"category:{third.category_id}" not in found.tags
    assert AuditEntry.objects.count() == 1


def test_many_rows_stand_for_all(editor, product, settings):
    settings.CACHE_INVALIDATION = {"ROW_TAG_LIMIT": 1}
    client = editor("invalidate_cache")
    other = Product.objects.create(name="b", category=Category.objects.create(name="d"))
    with delivered() as found:
        client.post(
            "/admin/testapp/product/",
            {"action": "invalidate_cache", "_selected_action": [product.pk, other.pk]},
        )
    assert {"testapp.product:*", "category:*"} <= found.tags
    assert f"testapp.product:{product.pk}" not in last_entry().targets["tags"]


@pytest.mark.parametrize(
    ("permissions", "codename"),
    [([], "view_product"), (["view_metrics"], "view_product"), (["invalidate_cache"], "unrelated")],
)
def test_it_takes_both_permissions(editor, product, permissions, codename):
    client = editor(*permissions, codename=codename)
    with delivered() as found:
        status = client.post(address(product, "invalidate-cache/")).status_code
        client.post(
            "/admin/testapp/product/",
            {"action": "invalidate_cache", "_selected_action": [product.pk]},
        )
    assert status == 403
    assert found == []
    assert not AuditEntry.objects.exists()
    assert BUTTON not in client.get(address(product)).content.decode()
    assert "Invalidate the cache" not in client.get("/admin/testapp/product/").content.decode()


def test_looking_does_nothing_and_neither_do_forms_from_elsewhere(editor, product):
    client = editor("invalidate_cache")
    strict = Client(enforce_csrf_checks=True)
    strict.force_login(User.objects.get())
    with delivered() as found:
        assert client.get(address(product, "invalidate-cache/")).status_code == 405
        assert strict.post(address(product, "invalidate-cache/")).status_code == 403
    assert found == []


def test_a_row_that_is_gone_is_not_found(editor, product):
    client = editor("invalidate_cache")
    gone = address(product, "invalidate-cache/")
    product.delete()
    assert client.post(gone).status_code == 404
    assert not AuditEntry.objects.exists()


def test_during_an_outage_the_message_says_that_it_waits(editor, product, down):
    response = editor("invalidate_cache").post(address(product, "invalidate-cache/"), follow=True)
    assert "waits in the outbox" in response.content.decode()
    assert 'class="warning"' in response.content.decode()


def test_the_page_for_a_new_row_has_no_button(as_user):
    client = as_user(is_superuser=True)
    assert BUTTON not in client.get("/admin/testapp/product/add/").content.decode()


@pytest.mark.parametrize("model_admin", [WithTemplate], ids=["own"])
def test_a_template_of_the_project_gets_the_button(editor, product, monkeypatch):
    django = engines["django"]
    own = '{% extends "admin/change_form.html" %}{% block form_top %}of the project{% endblock %}'
    template = django.from_string(own)
    find = django.get_template
    monkeypatch.setattr(
        django, "get_template", lambda name: template if name == "own_template.html" else find(name)
    )
    text = editor("invalidate_cache").get(address(product)).content.decode()
    assert "of the project" in text
    assert BUTTON in text


@pytest.mark.parametrize("model_admin", [WithoutActions], ids=["none"])
def test_a_project_that_wants_no_actions_gets_the_button_only(editor, product):
    client = editor("invalidate_cache")
    assert "Invalidate the cache" not in client.get("/admin/testapp/product/").content.decode()
    assert BUTTON in client.get(address(product)).content.decode()
