"""What is decorated with `cached`, as far as it is loaded."""

import gc
from difflib import get_close_matches
from typing import Any

from django.apps import apps
from django.core.checks import Error, Warning

from cache_invalidation.checks.project import import_urls
from cache_invalidation.checks.registering import Messages, register
from cache_invalidation.conf import settings
from cache_invalidation.exceptions import InvalidSetting
from cache_invalidation.reads import functions
from cache_invalidation.reads.read import Default
from cache_invalidation.rules.registry import registry
from cache_invalidation.tags import model_tag


@register()
def check_names(**kwargs: Any) -> Messages:
    """E014: several cached functions with one name."""
    import_urls()
    names = functions.clashes()
    if names:
        gc.collect()  # Those that nobody can call any more do no harm.
        names = functions.clashes()
    for name in sorted(names):
        yield Error(
            f"Several cached functions have the name {name!r}, so that each returns what another "
            "one has stored.",
            hint="Give each a name of its own: @cached(name=…).",
            id="cache_invalidation.E014",
        )


@register()
def check_spelling(**kwargs: Any) -> Messages:
    """W003: tags that name models which do not exist."""
    import_urls()
    known = [model_tag(model) for model in apps.get_models()]
    for label, owner in sorted(registry.misspelled.items()):
        meant = get_close_matches(label.lower(), known, 1, 0.8)
        yield Warning(
            f"A tag of {owner} is spelled like that of a model {label!r}, but there is no such "
            f"model.{''.join(f' Did you mean {name!r}?' for name in meant)}",
            hint="Nothing drops it by itself. Correct it, or spell it without a dot.",
            id="cache_invalidation.W003",
        )


@register()
def check_refresh(**kwargs: Any) -> Messages:
    """W030: values that are to be refreshed before they expire, and never do."""
    import_urls()
    try:
        is_for_ever = settings.DEFAULT_TIMEOUT is None
    except InvalidSetting:
        return  # E001 or E003.
    for name, function in sorted(functions.by_name().items()):
        if is_for_ever and function.ahead and isinstance(function.timeout, Default):
            yield Warning(
                f"{name}() has refresh=True, and DEFAULT_TIMEOUT is None: its values never expire, "
                "so nothing is refreshed.",
                hint="Give it a timeout, or take refresh=True away.",
                id="cache_invalidation.W030",
            )
