"""System checks: what a newcomer can get wrong, said before it does harm."""

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.conf import settings as django_settings
from django.core.cache import InvalidCacheBackendError, caches
from django.core.checks import CheckMessage, Error, Warning, register
from django.core.exceptions import FieldDoesNotExist

from cache_invalidation.catalog import is_excluded, is_spelled_alike
from cache_invalidation.conf import Settings, configured, declared, settings
from cache_invalidation.exceptions import InvalidSetting, StoreUnavailable
from cache_invalidation.placeholders import problem_with
from cache_invalidation.registry import registry
from cache_invalidation.rules import Rule
from cache_invalidation.stores import get_store


@register
def check_settings(**kwargs: Any) -> list[CheckMessage]:
    """E001 to E003: the dict, its keys, its values."""
    return list(_check_settings())


def _check_settings() -> Iterator[CheckMessage]:
    values = configured()
    if not isinstance(values, dict):
        yield Error(
            f"CACHE_INVALIDATION is {values!r}, which is not a dict.",
            hint="Write CACHE_INVALIDATION = {...}, or leave it out.",
            id="cache_invalidation.E001",
        )
        return
    known = {setting.name: setting for setting in declared()}
    for name, value in values.items():
        if name not in known:
            yield Error(
                f"CACHE_INVALIDATION has a key {name!r}, which means nothing.",
                hint=f"The keys are {', '.join(sorted(known))}.",
                id="cache_invalidation.E002",
            )
            continue
        try:
            known[name].check(value)
        except InvalidSetting as error:
            yield Error(
                str(error),
                hint=f"Leave it out to have the default, {known[name].default!r}.",
                id="cache_invalidation.E003",
            )


@register
def check_cache(**kwargs: Any) -> list[CheckMessage]:
    """E004 and E005: the alias, the server behind it. A server that is down is none's mistake."""
    try:
        alias = settings.CACHE
        caches[alias]
    except InvalidSetting:
        return []  # E001 or E003.
    except InvalidCacheBackendError as error:
        return [
            Error(
                f"The cache {alias!r} cannot be used: {str(error).rstrip('.')}.",
                hint="Set CACHE_INVALIDATION['CACHE'] to one of the aliases in CACHES: "
                f"{', '.join(sorted(django_settings.CACHES))}.",
                id="cache_invalidation.E004",
            )
        ]
    return list(_check_server(alias))


def _check_server(alias: str) -> Iterator[CheckMessage]:
    try:
        problem = get_store(alias).problem()
    except StoreUnavailable:
        return
    if problem:
        yield Error(
            f"The cache {alias!r} cannot be used: {problem}.",
            hint="Upgrade the server, or set CACHE_INVALIDATION['CACHE'] to another alias.",
            id="cache_invalidation.E005",
        )


@register
def check_rules(**kwargs: Any) -> list[CheckMessage]:
    """E006 to E009: templates, the fields they name, `fields` and `track`."""
    messages: list[CheckMessage] = []
    for rule in registry.rules.values():
        messages.extend(_check_rule(rule))
    return messages


def _check_rule(rule: Rule) -> Iterator[CheckMessage]:
    owner = type(rule.declaration)
    if rule.defect is not None:
        yield Error(
            str(rule.defect),
            hint=f"tags, keys and patterns of {owner.__qualname__} are lists of strings such as "
            "'category:{category_id}'.",
            obj=owner,
            id="cache_invalidation.E006",
        )
        return
    for template in rule.templates:
        for path in sorted(template.paths):
            if problem := problem_with(path, rule.model):
                yield Error(
                    f"The {template.kind} {template.source!r} names {path!r}, but {problem}.",
                    hint=f"Name a field or property of {rule.model._meta.label}, follow relations "
                    "with '__', or override get_tags().",
                    obj=owner,
                    id="cache_invalidation.E007",
                )
    for option in ("fields", "track"):
        for name in sorted(getattr(rule.declaration, option) or ()):
            yield from _check_field(rule, option, name)


def _check_field(rule: Rule, option: str, name: str) -> Iterator[CheckMessage]:
    owner, label = type(rule.declaration), rule.model._meta.label
    try:
        field: Any = rule.model._meta.get_field(name)
    except FieldDoesNotExist:
        yield Error(
            f"{option} names {name!r}, but {label} has no such field.",
            hint="Name fields of the model, or leave the option out.",
            obj=owner,
            id="cache_invalidation.E008",
        )
        return
    if option == "track" and not is_spelled_alike(field):
        yield Error(
            f"track names {name!r}, but queries spell values of {label}.{name} in another way than "
            "instances do, or it has no column.",
            hint="Integers, texts without a collation of their own, UUIDs and foreign keys to "
            "these can be tracked.",
            obj=owner,
            id="cache_invalidation.E009",
        )


@register
def check_spelling(**kwargs: Any) -> list[CheckMessage]:
    """W003: tags that name models which do not exist."""
    return [
        Warning(
            f"The tag {label!r} is spelled like that of a model, but there is no such model.",
            hint="Nothing drops it by itself. Correct it, or spell it without a dot.",
            id="cache_invalidation.W003",
        )
        for label in sorted(registry.misspelled)
    ]


@register
def check_exclude(**kwargs: Any) -> list[CheckMessage]:
    """W004 and W005: what ``EXCLUDE`` names, and rules that it makes useless."""
    try:
        excluded = settings.EXCLUDE
    except InvalidSetting:
        return []  # E001 or E003.
    known = {config.label.lower() for config in apps.get_app_configs()}
    known |= {model._meta.label_lower for model in apps.get_models(include_auto_created=True)}
    # The default names what not every project has.
    known |= {label.lower() for label in Settings.EXCLUDE.default}
    messages: list[CheckMessage] = [
        Warning(
            f"EXCLUDE names {label!r}, which is neither an installed app nor a model of one.",
            hint="Name apps by their label ('sessions') and models by theirs ('admin.LogEntry').",
            id="cache_invalidation.W004",
        )
        for label in excluded
        if label.lower() not in known
    ]
    messages += [
        Warning(
            f"{rule.declaration!r} never fires: EXCLUDE has the model.",
            hint="Remove the rule, or take the model or its app out of EXCLUDE.",
            obj=type(rule.declaration),
            id="cache_invalidation.W005",
        )
        for rule in registry.rules.values()
        if is_excluded(rule.model)
    ]
    return messages


@register
def check_time_limits(**kwargs: Any) -> list[CheckMessage]:
    """W001: a fence that may have lapsed before its writer hears that it stands."""
    try:
        alias, limit = settings.CACHE, settings.FENCE_TIMEOUT
    except InvalidSetting:
        return []
    options = django_settings.CACHES.get(alias, {}).get("OPTIONS", {})
    if (options.get("SOCKET_TIMEOUT") or 0) <= limit:
        return []
    return [
        Warning(
            f"The SOCKET_TIMEOUT of the cache {alias!r} is longer than FENCE_TIMEOUT, {limit:g} s.",
            hint="Set it to a few seconds: a cache that takes longer is of no use.",
            id="cache_invalidation.W001",
        )
    ]
