"""A site of which one can tell whether its blocks were rendered or came from the cache."""

from collections import Counter
from typing import Any

import pytest
from django.http import HttpRequest
from django.template import Context, Engine, RequestContext

from cache_invalidation.metrics.counters import counters
from tests.blocks import tags

LIBRARIES = {
    "cache": "cache_invalidation.templatetags.cache",
    "cache_invalidation": "cache_invalidation.templatetags.cache_invalidation",
    "seen": "tests.blocks.tags",
    "i18n": "django.templatetags.i18n",
    "tz": "django.templatetags.tz",
}
BUILTINS = [LIBRARIES["cache_invalidation"], LIBRARIES["seen"]]
PROCESSORS = [
    "django.template.context_processors.request",
    "django.contrib.auth.context_processors.auth",
    "django.contrib.messages.context_processors.messages",
]


class Site:
    """Templates by name, and what was counted while they were rendered.

    ``{% seen %}`` in a block tells whether it is rendered; see `rendered`.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.sources: dict[str, str] = {}
        self.counted: Counter[str] = Counter()
        monkeypatch.setattr(counters, "add", self._count)
        monkeypatch.setattr(
            counters, "add_read", lambda how, name: self._count(how, f"{how}:{name}")
        )
        self.restart()

    def _count(self, *names: str) -> None:
        self.counted.update(names)

    def restart(self) -> None:
        """Forget the templates that are loaded, as a new process does."""
        loader = "django.template.loaders.locmem.Loader", self.sources
        self.engine = Engine(
            loaders=[("django.template.loaders.cached.Loader", [loader])],
            libraries=LIBRARIES,
            builtins=BUILTINS,
            context_processors=PROCESSORS,
        )

    def write(self, **sources: str) -> None:
        """Write templates, whose names are without an ending, and restart."""
        self.sources.update(sources)
        self.restart()

    def render(self, template: str, request: HttpRequest | None = None, **names: Any) -> str:
        """Return what a template is rendered to."""
        context = Context(names) if request is None else RequestContext(request, names)
        return str(self.engine.get_template(template).render(context))

    def rendered(self, template: str, request: HttpRequest | None = None, **names: Any) -> bool:
        """Whether any ``{% seen %}`` is rendered, which is not so on a hit."""
        before = tags.seen_times
        self.render(template, request, **names)
        return tags.seen_times > before

    @property
    def reasons(self) -> set[str]:
        """Why blocks were not stored."""
        found = (name.rpartition(":")[2] for name in self.counted if name.startswith("unstored:"))
        return set(found)
