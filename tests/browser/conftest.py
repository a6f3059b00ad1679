"""A browser, a site for it to look at, and users.

Playwright has an event loop in the thread that it is used in, where Django then refuses to use a
database. So it has a thread of its own: tests run there, their fixtures in the usual one.
"""

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

import pytest
from django.conf import settings as django_settings
from django.contrib.auth import get_user_model
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.test import Client, override_settings
from django.test.testcases import LiveServerThread
from playwright.sync_api import Browser, Playwright, sync_playwright

from cache_invalidation.metrics.counters import counters
from cache_invalidation.models import AuditEntry
from tests.browser.looking import LOOKS, Look, Window
from tests.browser.operated import airport, history, judged, logged, waiting

__all__ = ["airport", "history", "judged", "logged", "waiting"]

CHROMIUM: Final = shutil.which("chromium") or shutil.which("chromium-browser")
BROWSER: Final = pytest.StashKey[ThreadPoolExecutor]()


def pytest_configure(config: pytest.Config) -> None:
    config.stash[BROWSER] = ThreadPoolExecutor(1, thread_name_prefix="browser")


def pytest_unconfigure(config: pytest.Config) -> None:
    config.stash[BROWSER].shutdown()


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool:
    """Run the test in the thread of the browser."""
    names = pyfuncitem._fixtureinfo.argnames
    test = partial(pyfuncitem.obj, **{name: pyfuncitem.funcargs[name] for name in names})
    pyfuncitem.config.stash[BROWSER].submit(test).result()
    return True


@pytest.fixture(scope="package")
def in_browser(pytestconfig: pytest.Config) -> Callable[..., Any]:
    """Call a function in the thread of the browser."""

    def call(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        return pytestconfig.stash[BROWSER].submit(function, *args, **kwargs).result()

    return call


@pytest.fixture(scope="package")
def browser(in_browser: Callable[..., Any]) -> Iterator[Browser]:
    if CHROMIUM is None:
        pytest.skip("There is no Chromium in PATH; on Debian: apt install chromium")
    playwright: Playwright = in_browser(sync_playwright().start)
    browser = in_browser(playwright.chromium.launch, executable_path=CHROMIUM)
    yield browser
    in_browser(browser.close)
    in_browser(playwright.stop)


@pytest.fixture(scope="package")
def address() -> Iterator[str]:
    """A server in this process, with a strict policy, for the databases and caches of the tests."""
    middleware = [
        "tests.browser.middleware.StrictPolicy",
        *django_settings.MIDDLEWARE[:1],
        "django.middleware.csrf.CsrfViewMiddleware",
        *django_settings.MIDDLEWARE[1:],
    ]
    with override_settings(
        ROOT_URLCONF="tests.browser.urls",
        STATIC_URL="/static/",
        MIDDLEWARE=middleware,
        ALLOWED_HOSTS=["localhost"],
    ):
        server = LiveServerThread("localhost", StaticFilesHandler)
        server.daemon = True
        server.start()
        server.is_ready.wait()
        if server.error:
            raise server.error
        yield f"http://localhost:{server.port}"
        server.terminate()


@pytest.fixture
def tables(transactional_db: None) -> Iterator[None]:
    counters.discard()
    yield
    counters.discard()


@pytest.fixture
def permissions() -> tuple[str, ...] | None:
    """What the user of the window may do; None for a superuser. Tests give it as a parameter."""
    return None


@pytest.fixture
def look() -> Look:
    return LOOKS[0]


@pytest.fixture
def scripts() -> bool:
    return True


@pytest.fixture
def session(tables: None, permissions: tuple[str, ...] | None) -> dict[str, str]:
    """The cookie of a user of the staff who has logged in."""
    user = get_user_model().objects.create_user(
        "operator", is_staff=True, is_superuser=permissions is None
    )
    kind = ContentType.objects.get_for_model(AuditEntry)
    for codename in permissions or ():
        found, _ = Permission.objects.get_or_create(
            codename=codename, content_type=kind, defaults={"name": codename}
        )
        user.user_permissions.add(found)
    client = Client()
    client.force_login(user)
    cookie = client.cookies[django_settings.SESSION_COOKIE_NAME]
    return {cookie.key: cookie.value}


@pytest.fixture
def window(
    browser: Browser,
    address: str,
    in_browser: Callable[..., Any],
    session: dict[str, str],
    look: Look,
    scripts: bool,
    request: pytest.FixtureRequest,
) -> Iterator[Window]:
    """A window of that user; the test fails if the browser has complained."""
    window: Window = in_browser(
        Window, browser, address, request.node.name, session, look, scripts=scripts
    )
    yield window
    in_browser(window.close)
    assert not window.complaints, "\n".join(window.complaints)
