"""What the project is told of functions that read what is not stored, or what nobody tells of."""

import logging
from collections.abc import Callable, Collection
from typing import Any, Final

from django.conf import settings as django_settings
from django.core import mail

from cache_invalidation.conf import settings
from cache_invalidation.exceptions import CacheDependencyWarning, InvalidSetting, UndeclaredRead
from cache_invalidation.reads.callers import warn
from cache_invalidation.reads.dependencies import Dependencies
from cache_invalidation.reads.recorders import Audited, Sampled

logger = logging.getLogger("cache_invalidation")

SAID: Final = 1000  # messages that are remembered, so as not to repeat them


def report(
    name: str, dependencies: Dependencies, function: Callable[..., Any], unsaid: Collection[str]
) -> None:
    """Say what the function `name` reads whose changes do not reach it, as the project wants it.

    `unsaid` are names of what it should vary on. Raises `UndeclaredRead` if that is to be an error.
    """
    messages = []
    if isinstance(dependencies, Audited) and dependencies.undeclared:
        silent = ", ".join(dependencies.silent)
        messages.append(
            f"{name}() reads {', '.join(dependencies.undeclared)}, and writes there drop none of "
            "its tags. Name the model in its tags, or leave the tags out to have them found."
            + (f" If get_tags() of {silent} names one, say so in `families`." if silent else "")
        )
    if isinstance(dependencies, Sampled | Audited) and dependencies.unwatched:
        messages.append(
            f"{name}() reads {', '.join(dependencies.unwatched)}, and nobody watches writes there. "
            "Leave it out, or see EXCLUDE in CACHE_INVALIDATION."
        )
    if isinstance(dependencies, Sampled) and dependencies.unknown:
        messages.append(
            f"{name}() is not stored: no model stands for what it reads with "
            f"{'; '.join(dependencies.unknown)}. Say on what it depends, by @cached(tags=[…])."
        )
    if isinstance(dependencies, Sampled) and dependencies.written:
        messages.append(
            f"{name}() is not stored: it has written to {', '.join(dependencies.written)}, and a "
            "hit would not. Write outside of it: a cached function only reads."
        )
    if unsaid:
        messages.append(
            f"{name}() is not stored: what it calls varies on {', '.join(unsaid)}, and it does "
            "not. Say so in its vary_on, too."
        )
    for message in messages:
        _say(message, function)


_said: set[str] = set()


def _say(message: str, function: Callable[..., Any]) -> None:
    wanted = _wanted()
    if wanted == "error":
        raise UndeclaredRead(message)
    if wanted == "warn":
        warn(message, CacheDependencyWarning, function)
    elif message not in _said and len(_said) < SAID:
        _said.add(message)
        logger.warning(message)


def wants_warnings() -> bool:
    """Whether the project is told by warnings of what its code does that cannot be cached."""
    return _wanted() in ("warn", "error")


def audits() -> bool:
    """Whether the tags that are declared are to be compared with what is read."""
    return _wanted() != "ignore"


def _wanted() -> str:
    try:
        wanted = settings.UNDECLARED_READS
    except InvalidSetting:
        return "ignore"  # A system check says so, and no page must fail of it.
    # Django's test runner, and whoever does the same, provides an outbox.
    is_watched = django_settings.DEBUG or hasattr(mail, "outbox")
    return wanted or ("warn" if is_watched else "ignore")
