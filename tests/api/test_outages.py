"""What operators are told, and can do, while the cache does not answer."""

from typing import Any

import pytest

from cache_invalidation import cached
from cache_invalidation.models import AuditEntry, PendingInvalidation
from cache_invalidation.stores.breaker import State
from example_project.servers import ValkeyServer
from tests.api.conftest import Api
from tests.delivered import delivered
from tests.outages import NOBODY, wait_for
from tests.stores.steps import wait_until
from tests.testapp.models import Product


@pytest.mark.django_db(transaction=True)
def test_a_request_waits_in_the_outbox_and_is_delivered_once_the_server_is_back(
    api: Api, use: Any, valkey: ValkeyServer
):
    use(valkey.url)

    @cached(tags=["shelf"], timeout=60, name="api.shelf")
    def shelf() -> str:
        return content

    content = "old"
    shelf()
    content = "new"
    assert shelf() == "old"
    valkey.kill()
    answer = api.invalidate(tags=["shelf"], keys=["k"], reason="stale")
    assert answer.status == 202
    assert answer.data["result"] == "pending"
    row = PendingInvalidation.objects.get()
    assert answer.data["pending"] == [row.pk]
    assert (row.targets["tags"], row.targets["keys"]) == (["shelf"], ["k"])
    listed = api.get("cache/pending").data["results"]
    assert [(entry["database"], entry["id"]) for entry in listed] == [("default", row.pk)]
    assert api.get("metrics/cache").data["pending_invalidations"] == 1
    entry = AuditEntry.objects.get(pk=answer.data["audit"])
    assert (entry.result, entry.detail["pending"]) == ("pending", [row.pk])
    with delivered() as found:
        valkey.start()
        wait_for(State.WORKING)
        wait_until(lambda: not PendingInvalidation.objects.exists())
    assert "shelf" in found.tags
    assert shelf() == "new"
    assert api.get("cache/pending").data["count"] == 0
    assert api.get("metrics/cache").status == 200


@pytest.mark.django_db
def test_the_metrics_say_what_they_can(api: Api, down: Any):
    api.invalidate(tags=["a"])
    answer = api.get("metrics/cache", minutes=5)
    assert answer.status == 503
    assert answer.data["detail"].startswith("The cache does not answer")
    assert answer.data["pending_invalidations"] == 1
    store = answer.data["store"]
    assert (store["alias"], store["state"], store["outages"]) == ("default", "down", 1)
    assert NOBODY.removeprefix("unix://") in store["reason"]
    assert store["since"]


@pytest.mark.django_db
def test_a_cache_that_there_is_not_is_told_of(api: Api, settings: Any):
    settings.CACHE_INVALIDATION = {"CACHE": "nothing"}
    answer = api.get("metrics/cache")
    assert (answer.status, answer.data["store"]) == (503, None)
    assert api.invalidate(patterns=["a*"]).status == 202
    assert api.post("cache/reset-metrics").status == 503


@pytest.mark.django_db
def test_the_counters_cannot_be_reset(api: Api, down: Any):
    answer = api.post("cache/reset-metrics", {"reason": "why"})
    assert answer.status == 503
    assert answer.data["store"]["state"] == "down"
    entry = AuditEntry.objects.get()
    assert (entry.action, entry.result, entry.reason) == ("reset-metrics", "failed", "why")
    assert "StoreUnavailable" in entry.detail["error"]


@pytest.mark.django_db
def test_what_can_be_neither_done_nor_kept_has_failed(api: Api, down: Any):
    down(ON_STORE_FAILURE="ignore")
    answer = api.invalidate(tags=["a"])
    assert (answer.status, answer.data["result"], answer.data["pending"]) == (503, "failed", [])
    assert AuditEntry.objects.get().result == "failed"


@pytest.mark.django_db
def test_a_dry_run_and_the_registry_need_no_cache(api: Api, down: Any):
    answer = api.invalidate(entities=[{"type": "testapp.product"}], dry_run=True)
    assert answer.status == 200
    assert Product._meta.label_lower in answer.data["tags"]
    assert api.get("cache/registry").status == 200
    assert not PendingInvalidation.objects.exists()
