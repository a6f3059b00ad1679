"""Queries that are cached by themselves: what ``QUERIES`` names."""

from typing import Any

from django.apps import apps
from django.core.checks import Error

from cache_invalidation.checks.registering import Messages, register
from cache_invalidation.conf import settings
from cache_invalidation.exceptions import InvalidSetting
from cache_invalidation.surfaces.querysets.wanted import matched


@register()
def check_queries(**kwargs: Any) -> Messages:
    """E020: a key of ``QUERIES`` that is no model, nor an app that has any."""
    try:
        patterns = settings.QUERIES
    except InvalidSetting:
        return  # E001 or E003.
    models = apps.get_models(include_auto_created=True)
    for pattern in patterns:
        if not matched(pattern, models):
            yield Error(
                f"QUERIES names {pattern!r}, and there is no such model in an installed app.",
                hint="Name models by their label ('shop.Product'), and all models of an app by "
                "its own ('shop.*').",
                id="cache_invalidation.E020",
            )
