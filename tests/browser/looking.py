"""A window of a browser: looks, is looked at, and remembers what the browser complained of."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import django
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, ConsoleMessage, Locator, Response

from tests.stores.steps import PATIENCE

SCREENSHOTS: Final = Path(__file__).parent / "screenshots"
DOCS: Final = Path(__file__).resolve().parents[2] / "docs" / "_static"


AXE: Final = Axe()
# Without fetching style sheets once more, which the policy of the site forbids it to use.
OPTIONS: Final = {"preload": False, "resultTypes": ["violations"]}
# The frame is Django's own, and its links were not underlined before Django 6.
PART: Final = None if django.VERSION >= (6,) else "#content"


# What reaches beyond the window, and is not scrolled by something that does not.
WIDEST: Final = """
    Array.from(document.querySelectorAll("body *"))
        .filter((element) => element.getBoundingClientRect().right > innerWidth)
        .filter((element) => !element.closest(".ci-scroll"))
        .map((element) => `${element.tagName}.${element.className}`)
        .join(", ")
"""


@dataclass(frozen=True)
class Look:
    """What the window is like."""

    theme: Literal["light", "dark"]
    width: int  # pixels

    def __str__(self) -> str:
        return f"{self.theme}-{self.width}"


LOOKS: Final = (Look("light", 1280), Look("dark", 360))


class Window:
    """One page of its own; `name` is for its screenshots."""

    def __init__(
        self,
        browser: Browser,
        address: str,
        name: str,
        cookies: Mapping[str, str],
        look: Look = LOOKS[0],
        *,
        scripts: bool = True,
    ) -> None:
        self.name = re.sub(r"\W+", "-", name).strip("-")
        self.look = look
        self.complaints: list[str] = []
        self.context = browser.new_context(
            base_url=address,
            color_scheme=look.theme,
            viewport={"width": look.width, "height": 900},
            java_script_enabled=scripts,
            reduced_motion="reduce",
        )
        self.context.set_default_timeout(1000 * PATIENCE)
        for key, value in cookies.items():
            self.context.add_cookies([{"name": key, "value": value, "url": address}])
        self.page = self.context.new_page()
        self.page.on("console", self._on_console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        self.page.on("response", self._on_response)

    def _on_console(self, message: ConsoleMessage) -> None:
        # What could not be loaded is said below, with its address.
        is_told = message.text.startswith("Failed to load resource")
        if message.type in ("error", "warning") and not is_told:
            self.complaints.append(f"{message.type}: {message.text}")

    def _on_response(self, response: Response) -> None:
        if response.status >= 400 and response.request.resource_type != "document":
            self.complaints.append(f"{response.status}: {response.url}")

    def close(self) -> None:
        self.context.close()

    def go(self, path: str) -> int:
        """Go to `path`; return the status of the answer."""
        response = self.page.goto(path)
        assert response is not None
        return response.status

    def status(self, path: str) -> int:
        """Return the status of the answer for `path`, without going there."""
        return self.context.request.get(path).status

    def click(self, role: Any, name: str) -> None:
        """Click on the one link or button of this name."""
        self.page.get_by_role(role, name=name, exact=True).click()
        self.page.wait_for_load_state()

    def text(self) -> str:
        return self.page.locator("#content").inner_text()

    def find(self, selector: str) -> Locator:
        return self.page.locator(selector)

    def photograph(self, name: str) -> None:
        SCREENSHOTS.mkdir(exist_ok=True)
        self.page.screenshot(path=SCREENSHOTS / f"{self.name}-{name}.png", full_page=True)

    def publish(self, name: str) -> None:
        """Take a picture for the documentation, if ``DOCS_SCREENSHOTS`` is set."""
        if os.environ.get("DOCS_SCREENSHOTS") and self.look == LOOKS[0]:
            DOCS.mkdir(exist_ok=True)
            self.page.screenshot(path=DOCS / f"{name}.png", full_page=True)

    def inspect_in_both_themes(self, name: str) -> None:
        """Do what `inspect` does for a page with colours or drawings of our own."""
        for theme in ("light", "dark"):
            self.page.emulate_media(color_scheme=theme)
            self.inspect(f"{name}-{theme}")
        self.page.emulate_media(color_scheme=self.look.theme)

    def inspect(self, name: str) -> None:
        """Check that everybody can use the page; take a picture of it."""
        self.photograph(name)
        found = AXE.run(self.page, PART, OPTIONS)
        assert found.violations_count == 0, f"{name}: {found.generate_report()}"
        overflow = self.page.evaluate(
            "document.documentElement.scrollWidth - document.documentElement.clientWidth"
        )
        assert overflow <= 0, f"{name} is {overflow} pixels wider: {self.page.evaluate(WIDEST)}"
