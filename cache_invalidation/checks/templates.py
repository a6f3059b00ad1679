"""Blocks of templates that Django caches."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

from django.core.checks import Info
from django.template import Engine, engines
from django.template.backends.django import DjangoTemplates

from cache_invalidation.checks.cache import store
from cache_invalidation.checks.registering import Messages, register

_DJANGO: Final = "django.templatetags.cache"
_OURS: Final = "cache_invalidation.templatetags.cache"
_SHOWN: Final = 5
_LARGEST: Final = 1_000_000  # bytes of a file that is read


@register(deploy=True)
def check_blocks_of_django(**kwargs: Any) -> Messages:
    """I002: blocks that stay as they are when what they show is written."""
    found_store = store()
    tracking = None if found_store is None else found_store.tracking
    if tracking is not None and tracking.glob_of("template.cache.x.") is not None:
        return  # They are dropped like any tracked key.
    for backend in _backends():
        if backend.engine.libraries.get("cache") != _DJANGO:
            continue
        found = list(_cached(backend.engine))
        if found:
            shown = ", ".join(found[:_SHOWN]) + (" and others" if found[_SHOWN:] else "")
            yield Info(
                f"Django caches blocks of {shown}. They are shown until they time out, whatever is "
                "written meanwhile.",
                hint=(
                    f'Set OPTIONS["libraries"] = {{"cache": {_OURS!r}}} in TEMPLATES: then each '
                    "{% cache %} is dropped when what it shows is written."
                ),
                id="cache_invalidation.I002",
            )


def _backends() -> list[DjangoTemplates]:
    try:
        return [backend for backend in engines.all() if isinstance(backend, DjangoTemplates)]
    except Exception:  # noqa: BLE001 - Django's own checks say what is wrong with TEMPLATES
        return []


def _cached(engine: Engine) -> Iterator[str]:
    """Return the names of the project's templates with such blocks, in the order of the search."""
    for folder in _folders(engine):
        for path in sorted(folder.rglob("*")):
            if path.is_file() and path.stat().st_size <= _LARGEST:
                text = path.read_bytes()
                if b"{% cache " in text and b"endcache" in text:
                    yield str(path.relative_to(folder))


def _folders(engine: Engine) -> Iterator[Path]:
    # What others have written, nobody here can change.
    installed = [Path(path) for path in sys.path if path.endswith(("-packages", "-packages/"))]
    for loader in engine.template_loaders:
        for each in (loader, *getattr(loader, "loaders", ())):
            for found in getattr(each, "get_dirs", list)():
                folder = Path(found)
                if folder.is_dir() and not any(map(folder.is_relative_to, installed)):
                    yield folder
