"""The task of Django's tasks framework that drains the outbox."""

from typing import Any

import django
import pytest
from django.core.cache import caches
from django.utils.module_loading import import_string

from cache_invalidation.contrib.tasks import drain_invalidations, warm_cache
from cache_invalidation.models import PendingInvalidation
from tests.contrib.refreshing import check_refresh, check_warm_up
from tests.delivered import delivered, update_behind_the_back
from tests.delivery.outbox.rows import let_wait
from tests.outages import Use, down, up, use
from tests.testapp.models import Product

__all__ = ["down", "up", "use"]

DATABASES = ["default", "other", "sqlite"]

pytestmark = pytest.mark.django_db(transaction=True, databases=DATABASES)

FRAMEWORK = "django.tasks" if django.VERSION >= (6, 0) else "django_tasks"


@pytest.fixture(autouse=True)
def immediate(settings: Any) -> None:
    """Have tasks run where they are enqueued."""
    settings.TASKS = {
        "default": {
            "BACKEND": f"{FRAMEWORK}.backends.immediate.ImmediateBackend",
            "ENQUEUE_ON_COMMIT": False,
        }
    }


def test_it_delivers_what_is_due_on_every_database(up: Use) -> None:
    up()
    let_wait(2)
    let_wait(1, "sqlite")
    with delivered() as found:
        result = drain_invalidations.enqueue()
    assert (result.status, result.return_value) == ("SUCCESSFUL", 3)
    assert found.tags == {"default:0", "default:1", "sqlite:0"}
    assert not PendingInvalidation.objects.exists()


def test_it_fails_while_the_store_is_down_and_leaves_what_waits(down: Use) -> None:
    let_wait(2)
    result = drain_invalidations.enqueue()
    assert result.status == "FAILED"
    assert result.errors[0].exception_class.__name__ == "StoreUnavailable"
    assert [row.attempts for row in PendingInvalidation.objects.all()] == [1, 1]


def test_it_can_be_called_like_any_function(up: Use) -> None:
    up()
    let_wait(1)
    assert drain_invalidations.call() == 1


@import_string(f"{FRAMEWORK}.task")
def _cached_name(pk: int) -> str | None:
    cache = caches["tracked"]
    found: str | None = cache.get_or_set("names", lambda: Product.objects.get(pk=pk).name)
    return found


@pytest.mark.parametrize("fails", [False, True])
def test_each_task_is_a_unit_of_work(settings: Any, fails: bool) -> None:
    settings.CACHE_INVALIDATION = {"CACHE": "tracked"}
    product = Product.objects.create(name="old")
    assert list(Product.objects.all())  # Of which nobody knows whether it goes into what is set.
    if fails:
        assert _cached_name.enqueue(0).status == "FAILED"
    assert _cached_name.enqueue(product.pk).return_value == "old"
    update_behind_the_back(Product.objects.all(), name="unseen")
    assert _cached_name.enqueue(product.pk).return_value == "old"
    Product.objects.update(name="new")
    assert _cached_name.enqueue(product.pk).return_value == "new"


def test_a_worker_refreshes_what_somebody_else_has_hit(settings: Any) -> None:
    check_refresh(settings, "cache_invalidation.contrib.tasks.refresh")


def test_a_worker_warms_the_cache() -> None:
    check_warm_up(lambda: warm_cache.enqueue(10.0, share=0.5).return_value)
