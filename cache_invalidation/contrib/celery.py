"""A Celery task that drains the outbox; needs the extra ``celery``.

Name the module in ``CELERY_IMPORTS`` (or `app.autodiscover_tasks(["cache_invalidation.contrib"],
related_name="celery")`), and have Celery's beat send the task every few seconds.
"""

from celery import shared_task

from cache_invalidation.outbox.draining import drain_all


@shared_task(name="cache_invalidation.drain_invalidations", ignore_result=True)  # type: ignore[untyped-decorator]
def drain_invalidations() -> int:
    """Deliver what is due; return how many invalidations were.

    Raises `StoreUnavailable` while the cache does not answer. There is no need to try the task
    again: what waits is found by the next one.
    """
    return drain_all()
