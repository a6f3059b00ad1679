"""What the checks of this package report, and settings to report about."""

from copy import deepcopy
from typing import Any

from django.conf import settings as django_settings
from django.core.checks import CheckMessage, run_checks
from django.test import override_settings


def ours(messages: list[CheckMessage]) -> list[CheckMessage]:
    """Return those of this package, but for what the settings of the tests mean to be so."""
    found = [m for m in messages if str(m.id).startswith("cache_invalidation.")]
    # The example has a rule for a model that its own settings do not exclude.
    meant = "The cache 'tracked", "<example_project.airports.invalidation.EditsInvalidation"
    return [m for m in found if not m.msg.startswith(meant)]


def reported(**options: Any) -> list[CheckMessage]:
    """Return what this package has to say, of all the checks that Django runs."""
    return ours(run_checks(**options))


def reported_in_production() -> list[CheckMessage]:
    return reported(include_deployment_checks=True)


def ids(messages: list[CheckMessage]) -> list[str]:
    return sorted(str(message.id).removeprefix("cache_invalidation.") for message in messages)


def only(messages: list[CheckMessage], kind: type[CheckMessage], number: str) -> CheckMessage:
    """Return the one message there is, after a look at its kind and id."""
    (message,) = messages
    assert type(message) is kind
    assert message.id == f"cache_invalidation.{number}"
    assert message.hint
    return message


def configured(**values: Any) -> override_settings:
    return override_settings(CACHE_INVALIDATION=values)


def with_cache(**config: Any) -> override_settings:
    """Put another cache in the place of the default one."""
    return override_settings(CACHES={**django_settings.CACHES, "default": config})


def with_options(**options: Any) -> override_settings:
    """Give the default cache other options."""
    config = deepcopy(django_settings.CACHES["default"])
    config["OPTIONS"].update(options)
    return with_cache(**config)


def with_redis_at(url: str | list[str], **options: Any) -> override_settings:
    """Put a server with no options but those given in the place of the default cache."""
    return with_cache(
        BACKEND="django_redis.cache.RedisCache", LOCATION=url, KEY_PREFIX="checks", OPTIONS=options
    )
