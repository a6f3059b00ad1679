"""The dict ``CACHE_INVALIDATION``: its keys, its values, and what they mean together."""

from typing import Any, Final

from django.apps import apps
from django.core.checks import Error, Warning

from cache_invalidation.checks.registering import Messages, register
from cache_invalidation.conf import Settings, configured, declared, settings
from cache_invalidation.exceptions import InvalidSetting
from cache_invalidation.rules.catalog import is_excluded
from cache_invalidation.rules.registry import registry
from cache_invalidation.stores.near import is_in_use
from cache_invalidation.stores.tracking import OPTIONS

# Seconds for which hardly anybody wants a request to wait.
LONG: Final = 5.0


@register()
def check_settings(**kwargs: Any) -> Messages:
    """E001 to E003: the dict, its keys, its values."""
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
                hint=_where(name) or f"The keys are {', '.join(sorted(known))}.",
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


def _where(name: object) -> str:
    """Return where the key `name` belongs, if it is one of another setting."""
    if name not in OPTIONS:
        return ""
    return f'It goes into CACHES["…"]["OPTIONS"][{name!r}], of the cache whose keys it is about.'


@register()
def check_exclude(**kwargs: Any) -> Messages:
    """W004 and W005: what ``EXCLUDE`` names, and rules that it makes useless."""
    try:
        excluded = settings.EXCLUDE
    except InvalidSetting:
        return  # E001 or E003.
    known = {config.label.lower() for config in apps.get_app_configs()}
    known |= {model._meta.label_lower for model in apps.get_models(include_auto_created=True)}
    # The default names what not every project has.
    known |= {label.lower() for label in Settings.EXCLUDE.default}
    for label in excluded:
        if label.lower() not in known:
            yield Warning(
                f"EXCLUDE names {label!r}, which is neither an installed app nor a model of one.",
                hint="Name apps by their label ('sessions') and models by theirs "
                "('admin.LogEntry').",
                id="cache_invalidation.W004",
            )
    for rule in registry.all_rules:
        if is_excluded(rule.model):
            yield Warning(
                f"{rule.declaration!r} never fires: EXCLUDE has the model.",
                hint="Remove the rule, or take the model or its app out of EXCLUDE.",
                obj=type(rule.declaration),
                id="cache_invalidation.W005",
            )


@register()
def check_combinations(**kwargs: Any) -> Messages:
    """W013: a write that cannot be aborted any more when it turns out that it should be."""
    try:
        is_too_late = settings.CONSISTENCY == "commit" and settings.ON_STORE_FAILURE == "abort"
    except InvalidSetting:
        return  # E001 or E003.
    if not is_too_late:
        return
    yield Warning(
        "ON_STORE_FAILURE is 'abort', but under CONSISTENCY = 'commit' the cache is told after "
        "COMMIT, when there is nothing left to abort.",
        hint="Set CONSISTENCY to 'strict', or leave ON_STORE_FAILURE out.",
        id="cache_invalidation.W013",
    )


@register()
def check_near_wait(**kwargs: Any) -> Messages:
    """W032: a lease for whose end nobody wants to wait."""
    try:
        seconds = settings.NEAR_WAIT
    except InvalidSetting:
        return  # E001 or E003.
    if not is_in_use() or seconds <= LONG:
        return
    yield Warning(
        f"NEAR_WAIT is {seconds:g} seconds: if a process is killed or stopped, the next write to "
        "what it keeps near waits for so long, with its connection and its worker.",
        hint=f"Leave it out to have the default, {Settings.NEAR_WAIT.default}. A longer one saves "
        "nothing but renewals.",
        id="cache_invalidation.W032",
    )
