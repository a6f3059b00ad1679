"""A server, or a proxy before it, that answers with nonsense is a server that is out of order."""

from typing import Any

import pytest
from redis import Connection

from cache_invalidation import ModelInvalidation, cached, registry
from cache_invalidation.stores.redis import connection as redis_connection
from tests.testapp.models import Category

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize("answer", [b"OK", 1, None, [b"x"], [1, 2, 3, 4]], ids=repr)
def test_an_answer_of_an_unexpected_shape_costs_no_read_and_no_write(
    monkeypatch: pytest.MonkeyPatch, answer: Any
) -> None:
    @cached(tags=[Category], name="nonsense")
    def names() -> list[str]:
        return list(Category.objects.values_list("name", flat=True))

    monkeypatch.setattr(redis_connection, "converse", lambda *args, **kwargs: answer)
    with registry.override(Category, ModelInvalidation):
        assert names() == []
        Category.objects.create(name="C")
        assert names() == ["C"]


def test_a_server_that_does_not_say_which_it_is_is_used_and_warned_of(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    said = [b"redis_version:7.4.0", b"role:master"]
    monkeypatch.setattr(redis_connection, "converse", lambda *args, **kwargs: said)
    server = redis_connection.introduce(Connection())
    assert server.identity == ""
    assert server.problem is None
    assert "goes unnoticed" in caplog.text
