"""A site whose templates are written in Jinja2."""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from django.utils import translation
from jinja2 import DictLoader, Environment

from cache_invalidation.jinja import CachedExtension
from cache_invalidation.metrics.counters import counters
from cache_invalidation.surfaces.inputs import trail
from tests.jinja import functions


class Site:
    """Templates by name; `rendered` tells how often ``seen()`` was called meanwhile."""

    def __init__(self, counted: Counter[str], **options: Any) -> None:
        self.sources: dict[str, str] = {}
        self.counted = counted
        self.env = environment(self.sources, [CachedExtension], **options)

    def render(self, source: str, **names: Any) -> str:
        """Return what a source, or the template of this name, is rendered to."""
        self.sources.setdefault("page.html", source)
        if self.sources["page.html"] != source:
            self.sources["page.html"] = source
        return self.env.get_template("page.html").render(**names)

    def rendered(self, source: str, **names: Any) -> tuple[str, int]:
        """Return the text, and how often its block was rendered for it."""
        before = functions.times
        return self.render(source, **names), functions.times - before

    def reasons(self) -> set[str]:
        """Return why blocks were not stored so far."""
        return {name.rpartition(":")[2] for name in self.counted if name.startswith("unstored:")}


def environment(sources: dict[str, str], extensions: list[Any], **options: Any) -> Environment:
    """Return an environment as projects have it."""
    further = ["jinja2.ext.do", "jinja2.ext.i18n", "jinja2.ext.loopcontrols", *extensions]
    options = {"autoescape": True, **options}
    env = Environment(loader=DictLoader(sources), extensions=further, **options)
    env.globals.update(seen=functions.seen, from_context=functions.from_context)
    env.filters.update(secretly=functions.filter_by_context, marked=functions.by_environment)
    env.tests["secret"] = functions.test_by_context
    env.install_gettext_translations(translation, newstyle=True)  # type: ignore[attr-defined]
    return env


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """Count what is counted."""
    found: Counter[str] = Counter()
    monkeypatch.setattr(counters, "add", lambda *names: found.update(names))
    monkeypatch.setattr(
        counters, "add_read", lambda how, name: found.update([how, f"{how}:{name}"])
    )
    trail.steps.clear()
    return found


@pytest.fixture
def site(counted: Counter[str]) -> Site:
    return Site(counted)


@pytest.fixture
def new_site(counted: Counter[str]) -> Callable[..., Site]:
    return lambda **options: Site(counted, **options)
