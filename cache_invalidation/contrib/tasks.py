"""For Django's own tasks framework: tasks that drain the outbox and that refresh values, and each
task a unit of work.

Django 6.0 has the framework; on Django 5.2 the package `django-tasks` has it, which is the extra
``tasks``. Enqueue the former every few seconds by whatever the project schedules with.
"""

from collections.abc import Mapping
from typing import Any

import django

from cache_invalidation.delivery.outbox.draining import drain_all
from cache_invalidation.operations.warming import Budget, warm_all
from cache_invalidation.reads.ahead import refresh_message
from cache_invalidation.surfaces.tracked.units import Tasks

if django.VERSION >= (6, 0):
    from django.tasks import task  # type: ignore[import-not-found,unused-ignore]
    from django.tasks.signals import (  # type: ignore[import-not-found,unused-ignore]
        task_finished,
        task_started,
    )
else:
    from django_tasks import task  # type: ignore[import-not-found,no-redef,unused-ignore]
    from django_tasks.signals import (  # type: ignore[import-not-found,no-redef,unused-ignore]
        task_finished,
        task_started,
    )

_tasks = Tasks()


@task
def drain_invalidations() -> int:
    """Deliver what is due; return how many invalidations were.

    Raises `StoreUnavailable` while the cache does not answer. There is no need to try the task
    again: what waits is found by the next one.
    """
    return drain_all()


@task
def refresh_value(message: dict[str, Any]) -> None:
    """Compute a value anew that is about to expire. It is counted what becomes of that."""
    refresh_message(message)


@task
def warm_cache(seconds: float | None = None, share: float = 1.0) -> dict[str, int]:
    """Compute what is hit most and not cached, as the command does; return what became of it.

    That takes no longer than so many `seconds`, and that `share` of a core. Raises
    `StoreUnavailable` while the cache does not answer.
    """
    return warm_all(Budget(seconds=seconds, share=share))


def refresh(message: Mapping[str, Any]) -> None:
    """Have a worker do so; for the setting ``REFRESH``."""
    refresh_value.enqueue(dict(message))


def _begin(task_result: Any, **kwargs: Any) -> None:
    _tasks.begin(task_result.id)


def _end(task_result: Any, **kwargs: Any) -> None:
    _tasks.end(task_result.id)


task_started.connect(_begin, dispatch_uid="cache_invalidation.tasks")
task_finished.connect(_end, dispatch_uid="cache_invalidation.tasks")
