"""POST cache/invalidate: what it refuses, and how it says so."""

from typing import Any

import pytest

from cache_invalidation import ModelInvalidation
from cache_invalidation.api.limits import MAX_ENTITIES, MAX_NAMES, MAX_REASON
from cache_invalidation.models import AuditEntry
from cache_invalidation.testing import override_rules
from tests.api.conftest import Api
from tests.delivered import delivered
from tests.testapp.models import Category, Product, Voucher


class ProductRule(ModelInvalidation):
    entity_type = "product"


class CatalogRule(ModelInvalidation):
    entity_type = "catalog"


@pytest.fixture(autouse=True)
def rules():
    with override_rules({Product: ProductRule, Category: CatalogRule, Voucher: CatalogRule}):
        yield


ROWS = {"type": "testapp.product"}

BAD: list[tuple[dict[str, Any], str, str]] = [
    ({}, "non_field_errors", "at least one"),
    ({"tags": [], "reason": "x"}, "non_field_errors", "at least one"),
    ({"tags": "a"}, "tags", "list"),
    ({"tags": None}, "tags", "null"),
    ({"tags": {"a": 1}}, "tags", "list"),
    ({"tags": ["a", ""]}, "tags", "blank"),
    ({"tags": ["a", "  "]}, "tags", "empty"),
    ({"tags": [1]}, "tags", "string"),
    ({"tags": [None]}, "tags", "null"),
    ({"tags": [["a"]]}, "tags", "string"),
    ({"tags": ["a\n"]}, "tags", "control"),
    ({"tags": ["a\x00"]}, "tags", "control"),
    ({"tags": ["\ud800"]}, "tags", "surrogate"),
    ({"tags": ["a" * 251]}, "tags", "250"),
    ({"keys": ["a\x7f"]}, "keys", "A key must not"),
    ({"patterns": ["\ud800*"]}, "patterns", "surrogate"),
    ({"tags": ["a"] * (MAX_NAMES + 1)}, "tags", str(MAX_NAMES)),
    ({"keys": ["a"] * (MAX_NAMES + 1)}, "keys", str(MAX_NAMES)),
    ({"patterns": ["a"] * (MAX_NAMES + 1)}, "patterns", str(MAX_NAMES)),
    ({"entities": [ROWS] * (MAX_ENTITIES + 1)}, "non_field_errors", str(MAX_ENTITIES)),
    ({"tags": ["*"]}, "everything", "all cached values, pages and blocks; send true"),
    (
        {"tags": ["a", "*"], "everything": False},
        "everything",
        "all cached values, pages and blocks; send true",
    ),
    ({"patterns": ["*"]}, "everything", "every plain key in the cache; send true"),
    ({"patterns": ["?*"]}, "everything", "every plain key in the cache; send true"),
    ({"tags": ["a"], "everything": "true"}, "everything", "boolean"),
    ({"tags": ["a"], "dry_run": "false"}, "dry_run", "boolean"),
    ({"tags": ["a"], "dry_run": 1}, "dry_run", "boolean"),
    ({"tags": ["a"], "dry_run": None}, "dry_run", "null"),
    ({"tags": ["a"], "dryrun": True}, "dryrun", "no such field"),
    ({"tags": ["a"], "\ud800": True}, "\\ud800", "no such field"),
    ({"tags": ["a"], "reason": "x" * (MAX_REASON + 1)}, "reason", str(MAX_REASON)),
    ({"tags": ["a"], "reason": "\x00"}, "reason", "Null"),
    ({"tags": ["a"], "reason": "\udfff"}, "reason", "Surrogate"),
    ({"tags": ["a"], "reason": 7}, "reason", "string"),
    ({"entities": "testapp.product"}, "non_field_errors", "list"),
    ({"entities": ["testapp.product"]}, "non_field_errors", "dictionary"),
    ({"entities": [{"id": 7}]}, "type", "required"),
    ({"entities": [{"type": "testapp.nothing"}]}, "type", "no model"),
    ({"entities": [{"type": "nothing"}]}, "type", "no model"),
    ({"entities": [{"type": "a.b.c"}]}, "type", "no model"),
    ({"entities": [{"type": "\ud800"}]}, "type", "Surrogate"),
    ({"entities": [{"type": "sessions.session"}]}, "type", "EXCLUDE"),
    ({"entities": [{"type": "cache_invalidation.auditentry"}]}, "type", "EXCLUDE"),
    ({"entities": [{"type": "catalog", "id": 1}]}, "type", "several models"),
    ({"entities": [{**ROWS, "pk": 7}]}, "pk", "no such field"),
    ({"entities": [{**ROWS, "database": "nope"}]}, "database", "no database 'nope'"),
    ({"entities": [{**ROWS, "id": None}]}, "id", "null"),
    ({"entities": [{**ROWS, "id": ""}]}, "id", "blank"),
    ({"entities": [{**ROWS, "id": "seven"}]}, "id", "integer"),
    ({"entities": [{**ROWS, "id": 7.5}]}, "id", "Not a number"),
    ({"entities": [{**ROWS, "id": True}]}, "id", "Not a number"),
    ({"entities": [{**ROWS, "id": {"pk": 7}}]}, "id", "Not a number"),
    ({"entities": [{**ROWS, "id": [7]}]}, "id", "integer"),
    ({"entities": [{**ROWS, "id": 2**80}]}, "id", "less than or equal"),
    ({"entities": [{**ROWS, "id": "\x00"}]}, "id", "Null"),
    ({"entities": [{**ROWS, "id": "\ud800"}]}, "id", "Surrogate"),
    ({"entities": [{"type": "testapp.voucher", "id": 7}]}, "id", "UUID"),
    ({"entities": [{"type": "testapp.restaurant", "id": "x"}]}, "id", "integer"),
    ({"entities": [{"type": "testapp.composite", "id": 7}]}, "id", "which is: tenant, number"),
    ({"entities": [{"type": "testapp.composite", "id": [7]}]}, "id", "which is: tenant, number"),
    ({"entities": [{"type": "testapp.composite", "id": [7, "x"]}]}, "id", "UUID"),
]


@pytest.mark.django_db
@pytest.mark.parametrize(("body", "field", "message"), BAD, ids=lambda value: ascii(value)[:60])
def test_bad_input_is_refused_with_the_name_of_the_field(
    api: Api, body: dict[str, Any], field: str, message: str
):
    for sent in (body, {"dry_run": True, **body}):
        with delivered() as found:
            answer = api.invalidate(**sent)
        assert answer.status == 400
        messages = dict(flat(answer.data))
        assert message in messages[field], messages
        assert not found
    assert not AuditEntry.objects.exists()


def flat(errors: Any, field: str = "") -> Any:
    """Yield each message with the name of the innermost field, whatever it is in."""
    if isinstance(errors, str):
        yield field, errors
        return
    for name, found in errors.items() if isinstance(errors, dict) else [(field, e) for e in errors]:
        yield from flat(found, field if name.isdigit() else name)


@pytest.mark.django_db
def test_an_error_names_the_place_in_the_list(api: Api):
    answer = api.invalidate(tags=["a", "", "b"], entities=[ROWS, {"type": "nothing"}])
    assert list(answer.data["tags"]) == ["1"]
    assert list(answer.data["entities"]) == ["1"]
    assert list(answer.data["entities"]["1"]) == ["type"]


@pytest.mark.django_db
def test_as_much_as_is_allowed_is_allowed(api: Api):
    answer = api.invalidate(
        tags=[f"{n:0250}" for n in range(MAX_NAMES)],
        entities=[{"type": "testapp.product", "id": n} for n in range(1, MAX_ENTITIES + 1)],
        reason="x" * MAX_REASON,
    )
    assert answer.status == 200
    assert answer.data["entities"] == {"manual": 1, "product": MAX_ENTITIES}


@pytest.mark.django_db
def test_patterns_are_refused_where_the_cache_cannot_list_its_keys(api: Api, settings: Any):
    settings.CACHE_INVALIDATION = {"CACHE": "redis_django"}
    answer = api.invalidate(patterns=["a*"])
    assert answer.status == 400
    assert "patterns" in answer.data
    assert api.invalidate(keys=["a"]).status == 200


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "wrong"),
    [
        ("metrics/cache", "minute"),
        ("metrics/cache", "limit"),
        ("cache/registry", "models"),
        ("cache/registry", "minutes"),
        ("cache/advice", "since"),
        ("cache/pending", "databse"),
        ("cache/pending", "page"),
    ],
)
def test_a_parameter_that_does_not_exist_is_refused(api: Api, path: str, wrong: str):
    answer = api.get(path, **{wrong: "1"})
    assert answer.status == 400
    assert answer.data == {wrong: ["There is no such parameter."]}
    assert api.get(path).status == 200
    assert api.get(path, format="json").status == 200


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("path", "body"),
    [("cache/invalidate", {"tags": ["a"]}), ("cache/reset-metrics", {})],
)
def test_what_belongs_into_the_body_is_refused_in_the_query(api: Api, path: str, body: Any):
    with delivered() as found:
        answer = api.post(f"{path}?dry_run=true", body)
    assert answer.status == 400
    assert answer.data == {"dry_run": ["There is no such parameter."]}
    assert not found
    assert not AuditEntry.objects.exists()
    assert api.post(f"{path}?format=json", body).status == 200
