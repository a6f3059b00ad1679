"""A task of Django's own tasks framework that drains the outbox.

Django 6.0 has the framework; on Django 5.2 the package `django-tasks` has it, which is the extra
``tasks``. Enqueue it every few seconds by whatever the project schedules with.
"""

import django

from cache_invalidation.delivery.outbox.draining import drain_all

if django.VERSION >= (6, 0):
    from django.tasks import task  # type: ignore[import-not-found,unused-ignore]
else:
    from django_tasks import task  # type: ignore[import-not-found,no-redef,unused-ignore]


@task
def drain_invalidations() -> int:
    """Deliver what is due; return how many invalidations were.

    Raises `StoreUnavailable` while the cache does not answer. There is no need to try the task
    again: what waits is found by the next one.
    """
    return drain_all()
