"""For Celery; the extra ``celery``.

Tasks that drain the outbox and that refresh values, counters that outlive a worker, and each task a
unit of work.

Name the module in ``CELERY_IMPORTS`` (or `app.autodiscover_tasks(["cache_invalidation.contrib"],
related_name="celery")`), and have Celery's beat send the task every few seconds.
"""

from collections.abc import Mapping
from typing import Any

from celery import shared_task
from celery.signals import task_postrun, task_prerun, worker_process_shutdown

from cache_invalidation.delivery.outbox.draining import drain_all
from cache_invalidation.metrics.counters import flush_at_exit
from cache_invalidation.operations.warming import Budget, warm_all
from cache_invalidation.reads.ahead import refresh_message
from cache_invalidation.surfaces.tracked.units import Tasks

_tasks = Tasks()


@shared_task(name="cache_invalidation.drain_invalidations", ignore_result=True)  # type: ignore[untyped-decorator]
def drain_invalidations() -> int:
    """Deliver what is due; return how many invalidations were.

    Raises `StoreUnavailable` while the cache does not answer. There is no need to try the task
    again: what waits is found by the next one.
    """
    return drain_all()


@shared_task(name="cache_invalidation.refresh", ignore_result=True)  # type: ignore[untyped-decorator]
def refresh_value(message: Mapping[str, Any]) -> None:
    """Compute a value anew that is about to expire. It is counted what becomes of that."""
    refresh_message(message)


@shared_task(name="cache_invalidation.warm_cache", ignore_result=True)  # type: ignore[untyped-decorator]
def warm_cache(seconds: float | None = None, share: float = 1.0) -> dict[str, int]:
    """Compute what is hit most and not cached, as the command does; return what became of it.

    That takes no longer than so many `seconds`, and that `share` of a core. Raises
    `StoreUnavailable` while the cache does not answer.
    """
    return warm_all(Budget(seconds=seconds, share=share))


def refresh(message: Mapping[str, Any]) -> None:
    """Have a worker do so; for the setting ``REFRESH``.

    Who calls this is a reader, who does not wait for a broker to come back.
    """
    refresh_value.apply_async([message], retry=False)


@task_prerun.connect  # type: ignore[untyped-decorator]
def _begin(task_id: str, **message: Any) -> None:
    _tasks.begin(task_id)


@task_postrun.connect  # type: ignore[untyped-decorator]
def _end(task_id: str, **message: Any) -> None:
    _tasks.end(task_id)


@worker_process_shutdown.connect  # type: ignore[untyped-decorator]
def _flush_at_exit(**message: Any) -> None:
    # Celery ends the children of its pool without Python's own exit handlers.
    flush_at_exit()
