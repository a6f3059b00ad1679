"""Tracked keys: whether there can be any, and whether they are the right ones."""

from difflib import get_close_matches
from fnmatch import fnmatchcase
from typing import Any, Final

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, Error, Info, Warning
from django.utils.module_loading import import_string

from cache_invalidation.checks.cache import store
from cache_invalidation.checks.registering import Messages, register
from cache_invalidation.conf import Settings
from cache_invalidation.rules.registry import registry
from cache_invalidation.stores.tracking import NEVER, OPTIONS, as_fnmatch, is_list_of_globs

_BACKEND: Final = "cache_invalidation.backends.RedisCache"


@register()
def check_tracked_keys(**kwargs: Any) -> Messages:
    """E021, E022 and W027: what OPTIONS says of tracked keys."""
    for alias, cache in django_settings.CACHES.items():
        options = cache.get("OPTIONS") or {}
        if not isinstance(options, dict):
            continue
        for name in OPTIONS:
            yield from _check_globs(alias, name, options.get(name, []))
        if str(cache.get("BACKEND", "")).startswith("cache_invalidation.backends."):
            yield from _check_names(alias, options)
        named = [name for name in ("TRACK", "NEAR") if name in options]
        if named and not _tracks(cache.get("BACKEND", ""), alias):
            yield Error(
                f"The cache {alias!r} has {named[0]} in its OPTIONS, and tracks nothing.",
                hint=f"Its BACKEND has to be {_BACKEND!r}, or LocMemCache there, and it has to be "
                f"the cache of this app, which is {Settings.CACHE.usable()!r}.",
                id="cache_invalidation.E022",
            )


def _check_names(alias: str, options: dict[str, Any]) -> Messages:
    """E021: what is nearly the name of an option."""
    for name in options:
        meant = get_close_matches(str(name).upper(), OPTIONS, cutoff=0.7)
        if name not in OPTIONS and meant:
            problem = f"OPTIONS of the cache {alias!r} has {name!r}, which nobody reads."
            yield _wrong_option(problem, f"Write {meant[0]!r}.")


def _check_globs(alias: str, name: str, globs: Any) -> Messages:
    if name == "BLIND" and isinstance(globs, bool):
        return
    if is_list_of_globs(globs):
        return
    problem = f"{name} in OPTIONS of the cache {alias!r} is {globs!r}."
    yield _wrong_option(problem, f'Write a list of patterns for keys: "{name}": ["product:*"].')


def _wrong_option(problem: str, hint: str) -> CheckMessage:
    return Error(problem, hint=hint, id="cache_invalidation.E021")


def _tracks(backend: Any, alias: str) -> bool:
    try:
        kind = import_string(backend)
    except Exception:  # noqa: BLE001 - another check says so
        return True
    return bool(getattr(kind, "tracks_keys", False)) and alias == Settings.CACHE.usable()


@register()
def check_what_is_tracked(**kwargs: Any) -> Messages:
    """W027, W029 and W033: patterns that match the wrong keys, or none; and no patterns."""
    found = store()
    if found is None or (tracking := found.tracking) is None:
        return
    alias = Settings.CACHE.usable()
    options = django_settings.CACHES.get(alias, {}).get("OPTIONS") or {}
    if not tracking.globs and not options.get("TRACK"):
        yield Warning(
            f"The cache {alias!r} could track keys, and tracks none.",
            hint='Name the keys of the project in its OPTIONS, "TRACK": ["product:*"], or in keys '
            "of a rule; or leave the BACKEND that it had.",
            id="cache_invalidation.W029",
        )
    for glob in tracking.track:
        if any(fnmatchcase(f"{key}x", as_fnmatch(glob)) for key in NEVER):
            yield Warning(
                f"TRACK has {glob!r}, which matches keys of sessions or of throttles. They are not "
                "tracked; but what other packages keep under such keys, a limit or a token, may "
                "not be made from what was read either, and would hardly ever be kept.",
                hint="Name the keys of the project in TRACK: a pattern for each kind of them.",
                id="cache_invalidation.W027",
            )

    for glob in tracking.near:
        if not tracking.globs_of(glob):
            yield Warning(
                f"NEAR in OPTIONS of the cache {alias!r} has {glob!r}, and no key that it matches "
                "is tracked. Nothing is kept near by it.",
                hint="Name the same keys in TRACK, or in keys of a rule.",
                id="cache_invalidation.W033",
            )


@register(deploy=True)
def check_patterns_without_a_tag(**kwargs: Any) -> Messages:
    """I004: patterns of rules that take a SCAN, and need not."""
    found = store()
    if found is None or not found.supports_patterns:
        return
    templates = {t.source: t for rule in registry.all_rules for t in rule.templates}
    patterns = sorted(name for name, t in templates.items() if t.kind == "pattern")
    if found.tracking is not None:
        patterns = [name for name in patterns if not templates[name].is_prefix]
    if not patterns:
        return
    yield Info(
        f"The patterns {', '.join(patterns)} of rules are looked for by a SCAN of all keys after "
        "each write, and what is set meanwhile may be missed.",
        hint=f"With {_BACKEND!r} a pattern that ends in ':*' and has no other wildcard is one tag: "
        "no SCAN, and nothing is missed.",
        id="cache_invalidation.I004",
    )
