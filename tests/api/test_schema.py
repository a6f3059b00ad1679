"""The OpenAPI schema, and whether the endpoints do what it says."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import schemathesis
from django.core.management import call_command
from drf_spectacular.generators import SchemaGenerator
from schemathesis.config import SchemathesisConfig
from schemathesis.engine import events

from cache_invalidation.api import examples
from cache_invalidation.metrics.counters import counters
from cache_invalidation.metrics.shapes import Metrics, Minute
from tests.api.conftest import PERMISSIONS, PREFIX, Api, make_user
from tests.stores.steps import PATIENCE

pytestmark = pytest.mark.django_db

ROOT = Path(__file__).resolve().parents[2]

CONFIG = {
    "seed": 5,
    # Seconds; only what hangs takes as long, however busy the machine is.
    "request-timeout": PATIENCE,
    "suppress-health-check": ["all"],
    "auth": {"basic": {"username": "operator", "password": "secret"}},
    "generation": {"max-examples": 10, "database": "none"},
    "phases": {"stateful": {"enabled": False}},
    # Whether an id fits the type, and whether anything is named at all, is more than a schema says.
    "checks": {"positive_data_acceptance": {"expected-statuses": ["2xx", "400", "422"]}},
}


@pytest.fixture
def schema() -> Any:
    return SchemaGenerator().get_schema(request=None, public=True)


def test_the_schema_is_valid_and_nothing_about_it_is_doubtful():
    out = io.StringIO()
    call_command("spectacular", validate=True, fail_on_warn=True, stdout=out)
    assert "cache_invalidate" in out.getvalue()


def test_every_endpoint_is_in_it_once(schema: Any):
    found = {
        (path, method): operation["operationId"]
        for path, operations in schema["paths"].items()
        for method, operation in operations.items()
        if path.startswith(PREFIX)
    }
    assert found == {
        (PREFIX + "metrics/cache", "get"): "cache_metrics",
        (PREFIX + "cache/invalidate", "post"): "cache_invalidate",
        (PREFIX + "cache/reset-metrics", "post"): "cache_reset_metrics",
        (PREFIX + "cache/registry", "get"): "cache_registry",
        (PREFIX + "cache/advice", "get"): "cache_advice",
        (PREFIX + "cache/pending", "get"): "cache_pending",
    }


def test_every_answer_has_an_example_of_its_own_form(schema: Any):
    for path, operations in schema["paths"].items():
        if not path.startswith(PREFIX):
            continue
        for operation in operations.values():
            assert {"401", "403", "429"} <= set(operation["responses"])
            for response in operation["responses"].values():
                content = response["content"]["application/json"]
                assert content["examples"]
                for example in content["examples"].values():
                    jsonschema.validate(example["value"], as_json_schema(content["schema"]))


def as_json_schema(found: Any) -> Any:
    """Return a schema of OpenAPI 3.0 as one that says null by its type, and allows no more."""
    if isinstance(found, list):
        return [as_json_schema(item) for item in found]
    if not isinstance(found, dict):
        return found
    result = {name: as_json_schema(item) for name, item in found.items() if name != "nullable"}
    if "properties" in result:
        result.setdefault("additionalProperties", False)
    return {"anyOf": [result, {"type": "null"}]} if found.get("nullable") else result


def test_the_example_of_the_metrics_leaves_nothing_out():
    assert set(examples.METRICS) == {*Metrics.__annotations__, "minutes", "recent"}
    assert set(examples.MINUTE) == set(Minute.__annotations__)


def test_the_example_of_a_request_is_taken(api: Api):
    # What is named there has been asked for in some process.
    counters.add("hits:shop.queries.menu", "hits:page:shop.views.cart")
    counters.add("hits:block:shop/base.html:menu")
    body = examples.REQUEST | {
        "entities": [{"type": "testapp.product", "id": 42}],
        "pages": ["/admin/login/", "shop.views.cart"],
    }
    assert api.post("cache/invalidate", body).status == 200


def test_the_api_needs_no_spectacular():
    code = """
import sys
sys.modules["drf_spectacular"] = None
from django.conf import settings
import tests.settings as found
values = {name: getattr(found, name) for name in dir(found) if name.isupper()}
values["INSTALLED_APPS"].remove("drf_spectacular")
del values["REST_FRAMEWORK"]
settings.configure(**values, ROOT_URLCONF="cache_invalidation.api.urls")
import django; django.setup()
from django.test import Client
print(Client().get("/cache/registry").status_code)
"""
    environment = {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=environment,
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "403", done.stderr


@pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"])
def test_schemathesis_finds_nothing(live_server: Any, monkeypatch: pytest.MonkeyPatch):
    # Variations of an example are worth more if it is one that is taken here.
    monkeypatch.setitem(examples.REQUEST, "entities", [{"type": "testapp.product", "id": 42}])
    make_user("operator", *PERMISSIONS)
    config = SchemathesisConfig.from_dict(CONFIG)
    found = schemathesis.openapi.from_url(f"{live_server.url}/api/schema", config=config)
    asked: set[str] = set()
    problems: list[str] = []
    for event in schemathesis.engine.from_schema(found.include(path_regex=f"^{PREFIX}")).execute():
        if isinstance(event, events.ScenarioFinished):
            asked |= {case.value.operation.label for case in event.recorder.cases.values()}
            problems += [
                f"{check.name}: {check.failure_info.failure}\n{check.failure_info.code_sample}"
                for checks in event.recorder.checks.values()
                for check in checks
                if check.failure_info is not None
            ]
        elif isinstance(event, events.NonFatalError | events.FatalError):
            problems.append(repr(event))
    assert not problems, "\n\n".join(problems)
    assert len(asked) == 6
