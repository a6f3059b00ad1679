"""The example project, as ``make serve`` runs it."""

import re
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

import pytest

from tests.browser.looking import Window
from tests.example.test_settings import start
from tests.stores.steps import PATIENCE

pytestmark = pytest.mark.slow


@pytest.fixture
def served(tmp_path: Path, redis_url: str) -> Iterator[str]:
    """What it prints until it answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
    database = f"sqlite:///{tmp_path}/site.sqlite3"
    environment = {"PORT": port, "REDIS_URL": redis_url, "DATABASE_URL": database}
    with start("-u", "-m", "example_project.serve", **environment) as process:
        assert process.stdout is not None
        try:
            printed = ""
            while "Admin:" not in printed:
                line = process.stdout.readline()
                assert line, printed
                printed += line
            wait_until_answered(f"http://127.0.0.1:{port}/admin/login/")
            yield printed
        finally:
            process.kill()


def wait_until_answered(url: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            urlopen(url, timeout=PATIENCE).close()
        except URLError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)
        else:
            return


@pytest.fixture
def visitor(browser: Any, served: str, in_browser: Callable[..., Any]) -> Iterator[Window]:
    found = re.search(r"Admin: (http://[^/]+)", served)
    assert found
    window = in_browser(Window, browser, found[1], "serve", {})
    yield window
    in_browser(window.close)
    # Nobody has drawn an icon for it.
    assert [text for text in window.complaints if "404" not in text] == []


def test_an_edit_of_an_airport_shows_on_the_dashboard(served, visitor):
    login = re.search(r"user (\w+), password (\w+)", served)
    assert login
    visitor.go("/admin/")
    visitor.page.get_by_label("Username").fill(login[1])
    visitor.page.get_by_label("Password").fill(login[2])
    visitor.click("button", "Log in")

    visitor.click("link", "Dashboard")
    visitor.click("button", "Update every 5 seconds")
    recent = visitor.find("section[aria-labelledby=ci-recent]")
    assert "icao:LSZH" not in recent.inner_text()

    editor = visitor.context.new_page()
    editor.goto("/admin/airports/airport/?q=LSZH")
    editor.get_by_role("link", name="LSZH").click()
    editor.get_by_label("City").fill("Kloten")
    editor.get_by_role("button", name="Save", exact=True).click()
    editor.get_by_text("was changed successfully").wait_for()

    recent.get_by_text("icao:LSZH").first.wait_for()
    row = recent.locator("tr", has_text="icao:LSZH").first.inner_text()
    assert "update" in row
    assert re.search(r"/admin/airports/airport/\d+/change/", row)
    assert "search:kl" in row  # By which it is found now.
    visitor.photograph("dashboard")


def test_a_page_says_what_it_cost_this_time(visitor):
    visitor.go("/records/")
    first = visitor.find("#cost").inner_text()
    assert "database queries" in first
    assert "took 0 " not in first
    visitor.go("/records/")
    assert "took 0 database queries" in visitor.find("#cost").inner_text()
