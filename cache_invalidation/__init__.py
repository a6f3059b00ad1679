"""Cached values that are never staler than the data behind them. For Django, on `django-redis`."""

from cache_invalidation.exceptions import CacheDependencyWarning
from cache_invalidation.explain import explain
from cache_invalidation.reads.cached import cached
from cache_invalidation.reads.together import cached_together
from cache_invalidation.rules.declarations import Change, ModelInvalidation
from cache_invalidation.rules.named import Key, Pattern, Tag
from cache_invalidation.rules.registry import Event, on_event, register, registry
from cache_invalidation.surfaces.tracked.units import unit_of_work
from cache_invalidation.tags import Invalidation
from cache_invalidation.writes.collect import no_invalidation
from cache_invalidation.writes.events import publish
from cache_invalidation.writes.invalidate import invalidate

__all__ = [
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
]
