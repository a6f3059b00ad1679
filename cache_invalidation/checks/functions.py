"""What is decorated with `cached`, as far as it is loaded."""

import gc
from difflib import get_close_matches
from typing import Any

from django.apps import apps
from django.core.checks import CheckMessage, Error, Warning, register

from cache_invalidation.checks.project import import_urls
from cache_invalidation.reads import functions
from cache_invalidation.rules.registry import registry
from cache_invalidation.tags import model_tag


@register
def check_names(**kwargs: Any) -> list[CheckMessage]:
    """E014: several cached functions with one name."""
    import_urls()
    names = functions.clashes()
    if names:
        gc.collect()  # Those that nobody can call any more do no harm.
        names = functions.clashes()
    return [
        Error(
            f"Several cached functions have the name {name!r}, so that each returns what another "
            "one has stored.",
            hint="Give each a name of its own: @cached(name=…).",
            id="cache_invalidation.E014",
        )
        for name in sorted(names)
    ]


@register
def check_spelling(**kwargs: Any) -> list[CheckMessage]:
    """W003: tags that name models which do not exist."""
    import_urls()
    known = [model_tag(model) for model in apps.get_models()]
    return [
        Warning(
            f"A tag of {owner} is spelled like that of a model {label!r}, but there is no such "
            f"model.{''.join(f' Did you mean {meant!r}?' for meant in _meant(label, known))}",
            hint="Nothing drops it by itself. Correct it, or spell it without a dot.",
            id="cache_invalidation.W003",
        )
        for label, owner in sorted(registry.misspelled.items())
    ]


def _meant(label: str, known: list[str]) -> list[str]:
    return get_close_matches(label.lower(), known, 1, 0.8)
