"""What the package offers, and that importing it asks for nothing."""

import os
import subprocess
import sys
from importlib.resources import files
from textwrap import dedent

import pytest
from django.dispatch import Signal

import cache_invalidation
from cache_invalidation import signals

PUBLIC = {
    "CacheDependencyWarning",
    "Change",
    "Event",
    "Invalidation",
    "Key",
    "ModelInvalidation",
    "Pattern",
    "Tag",
    "cached",
    "cached_together",
    "explain",
    "invalidate",
    "no_invalidation",
    "on_event",
    "publish",
    "register",
    "registry",
    "unit_of_work",
}

OPTIONAL = [
    "debug_toolbar",
    "drf_spectacular",
    "hiredis",
    "model_bakery",
    "opentelemetry",
    "prometheus_client",
    "psycopg",
    "pymemcache",
    "rest_framework",
    "rich",
    "sqlglot",
]


def run(code: str) -> str:
    """Run `code` in a process that knows no settings; return what it prints and complains of."""
    environment = {n: v for n, v in os.environ.items() if n != "DJANGO_SETTINGS_MODULE"}
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", dedent(code)],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return result.stdout.strip()


def test_the_public_names_are_those_that_are_documented():
    assert set(cache_invalidation.__all__) == PUBLIC
    assert all(hasattr(cache_invalidation, name) for name in PUBLIC)


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_public_name_says_what_it_is_for(name):
    assert (getattr(cache_invalidation, name).__doc__ or "").strip()


def test_observers_have_two_signals():
    assert isinstance(signals.invalidated, Signal)
    assert isinstance(signals.invalidation_failed, Signal)


def test_the_package_is_typed():
    assert (files("cache_invalidation") / "py.typed").is_file()


def test_importing_needs_neither_settings_nor_extras():
    blocked = f"import sys; sys.modules.update(dict.fromkeys({OPTIONAL!r}))\n"
    assert run(blocked + "import cache_invalidation as c; print(*sorted(c.__all__))") == " ".join(
        sorted(PUBLIC)
    )


def test_importing_leaves_the_settings_alone():
    code = """
        import cache_invalidation
        from django.conf import settings
        print(settings.configured)
    """
    assert run(code) == "False"


def test_functions_and_subscribers_can_be_decorated_before_django_is_set_up():
    code = """
        from cache_invalidation import cached, on_event

        @cached(tags=["homepage", "shop.product", "category:{category_id}"], timeout=60)
        def page(category_id): ...

        @on_event("user.*")
        def user_changed(event): ...

        print(page, page.key(3) != page.key(4))
    """
    assert run(code) == "<cached __main__.page> True"


def test_django_starts_with_the_app_and_without_the_extras():
    code = f"""
        import sys
        sys.modules.update(dict.fromkeys({OPTIONAL!r}))
        import django
        from django.conf import settings
        settings.configure(INSTALLED_APPS=["cache_invalidation"])
        django.setup()
        from django.core.management import call_command
        call_command("check")
    """
    assert run(code) == "System check identified no issues (0 silenced)."


def test_a_tag_declared_before_the_models_were_loaded_is_compared_with_them_afterwards():
    code = """
        from cache_invalidation import cached, registry

        @cached(tags=["auth.user:{user_id}", "auth.usr:{user_id}"])
        def page(user_id): ...

        print(*registry.misspelled)

        import django
        from django.conf import settings
        apps = ["django.contrib.contenttypes", "django.contrib.auth", "cache_invalidation"]
        settings.configure(INSTALLED_APPS=apps)
        django.setup()
        print(*registry.misspelled)
    """
    assert run(code) == "auth.usr"
