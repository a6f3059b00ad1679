"""The header Idempotency-Key: what is repeated is not done twice."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

import pytest

from cache_invalidation.api.limits import MAX_IDEMPOTENCY_KEY
from cache_invalidation.metrics.report import read_metrics, reset_metrics
from cache_invalidation.models import AuditEntry, PendingInvalidation
from tests.api.conftest import Answer, Api
from tests.delivered import delivered
from tests.elsewhere import apart
from tests.stores.steps import PATIENCE

pytestmark = pytest.mark.django_db

KEY = "8e03978e-40d5-43e8-bc93-6894a57f9324"


def post(api: Api, body: dict[str, Any], key: str = KEY) -> Answer:
    return api.post("cache/invalidate", body, **{"Idempotency-Key": key})


def test_a_request_that_is_repeated_gets_the_same_answer_and_is_not_done_again(api: Api):
    body = {"tags": ["a", "b"], "keys": ["k"], "entities": [{"type": "testapp.product"}]}
    first = post(api, body)
    assert (first.status, first.data["result"]) == (200, "done")
    assert "Idempotent-Replayed" not in first.headers
    with delivered() as found:
        second = post(api, body)
    assert not found
    assert (second.status, second.data) == (first.status, first.data)
    assert second.headers["Idempotent-Replayed"] == "true"
    assert AuditEntry.objects.count() == 1


def test_the_same_in_another_order_is_the_same(api: Api):
    rows = [{"type": "testapp.product", "id": 1}, {"type": "testapp.Product", "id": "2"}]
    first = post(api, {"tags": ["a", "b"], "entities": rows})
    second = post(api, {"entities": rows[::-1], "tags": ["b", "a", "a"], "everything": True})
    assert second.data == first.data
    assert second.status == 200


@pytest.mark.parametrize(
    "other",
    [
        {"tags": ["b"], "reason": "r"},
        {"keys": ["a"], "reason": "r"},
        {"tags": ["a"], "keys": ["k"], "reason": "r"},
        {"tags": ["a"], "reason": "another"},
        {"tags": ["a"]},
        {"tags": ["a"], "entities": [{"type": "testapp.product"}], "reason": "r"},
    ],
    ids=str,
)
def test_another_request_under_the_same_key_is_refused(api: Api, other: dict[str, Any]):
    post(api, {"tags": ["a"], "reason": "r"})
    with delivered() as found:
        answer = post(api, other)
    assert answer.status == 422
    assert "Idempotency-Key" in answer.data["detail"]
    assert not found
    assert AuditEntry.objects.count() == 1


def test_rows_of_one_model_are_told_apart(api: Api):
    post(api, {"entities": [{"type": "testapp.product", "id": 1}]})
    for entity in ({"type": "testapp.product", "id": 2}, {"type": "testapp.product"}):
        assert post(api, {"entities": [entity]}).status == 422


def test_a_request_that_has_not_ended_is_a_conflict(api: Api):
    post(api, {"tags": ["a"]})
    AuditEntry.objects.update(result="started")
    answer = post(api, {"tags": ["a"]})
    assert answer.status == 409
    assert "not ended" in answer.data["detail"]


@pytest.mark.django_db(transaction=True)
def test_of_many_that_come_at_the_same_time_one_is_done(api: Api):
    together = Barrier(6)

    @apart
    def send(_: int) -> int:
        together.wait(PATIENCE)
        return post(api, {"tags": ["a"]}).status

    reset_metrics()
    with ThreadPoolExecutor(6) as pool:
        statuses = list(pool.map(send, range(6)))
    assert 200 in statuses
    assert set(statuses) <= {200, 409}
    assert AuditEntry.objects.count() == 1
    assert read_metrics()["tag_invalidations"] == 1


def test_each_user_has_keys_of_their_own(api: Api, as_user: Callable[..., Api]):
    post(api, {"tags": ["a"]})
    with delivered() as found:
        answer = post(as_user("invalidate_cache"), {"tags": ["b"]})
    assert answer.status == 200
    assert found.tags == {"b"}


def test_without_a_key_everything_is_done_each_time(api: Api):
    assert api.invalidate(tags=["a"]).status == api.invalidate(tags=["a"]).status == 200
    assert AuditEntry.objects.count() == 2


def test_a_dry_run_does_not_use_the_key_up(api: Api):
    assert post(api, {"tags": ["b"], "dry_run": True}).status == 200
    answer = post(api, {"tags": ["a"]})
    assert (answer.status, answer.data["dry_run"]) == (200, False)
    assert "Idempotent-Replayed" not in answer.headers


@pytest.mark.parametrize("key", ["", "a b", "ä", "x" * (MAX_IDEMPOTENCY_KEY + 1), "a\tb"])
def test_a_key_that_cannot_be_one_is_refused(api: Api, key: str):
    answer = post(api, {"tags": ["a"]}, key)
    assert answer.status == 400
    assert list(answer.data) == ["Idempotency-Key"]
    assert not AuditEntry.objects.exists()
    assert post(api, {"tags": ["a"]}, "x" * MAX_IDEMPOTENCY_KEY).status == 200


def test_what_went_to_the_outbox_is_told_again_and_not_written_again(api: Api, down: Any):
    first = post(api, {"tags": ["a"]})
    assert first.status == 202
    PendingInvalidation.objects.all().delete()
    second = post(api, {"tags": ["a"]})
    assert (second.status, second.data) == (202, first.data)
    assert not PendingInvalidation.objects.exists()


def test_what_failed_is_told_again_and_not_tried_again(api: Api, down: Any, up: Any):
    down(ON_STORE_FAILURE="ignore")
    first = post(api, {"tags": ["a"]})
    assert (first.status, first.data["result"]) == (503, "failed")
    up()
    with delivered() as found:
        second = post(api, {"tags": ["a"]})
    assert (second.status, second.data) == (503, first.data)
    assert not found
    assert post(api, {"tags": ["a"]}, "another-key").status == 200
