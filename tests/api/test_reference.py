"""The reference page names everything there is."""

import re
from pathlib import Path
from typing import Any

import pytest

from cache_invalidation.api import answers, limits
from cache_invalidation.api.access import READ, WRITE
from cache_invalidation.api.serializers import InvalidationSerializer, PendingQuery, RegistryQuery
from cache_invalidation.api.urls import urlpatterns
from cache_invalidation.api.views import REPLAYED
from cache_invalidation.explain import readers
from cache_invalidation.metrics.shapes import StoreState
from cache_invalidation.operations import overview

PAGE = (Path(__file__).resolve().parents[2] / "docs/reference/rest.md").read_text()


def words() -> set[str]:
    return set(re.findall(r"[\w/-]+", PAGE))


@pytest.mark.parametrize(
    "kind",
    [
        answers.Invalidated,
        answers.Unavailable,
        answers.Waiting,
        StoreState,
        overview.Overview,
        overview.RuleEntry,
        overview.ModelEntry,
        readers.FunctionEntry,
        readers.PageEntry,
        readers.BlockEntry,
        overview.EventEntry,
        overview.SignalEntry,
    ],
)
def test_every_field_of_an_answer_is_on_the_page(kind: Any):
    missing = [name for name in kind.__annotations__ if f"`{name}`" not in PAGE]
    assert not missing


def test_every_field_of_a_request_is_on_the_page():
    for kind in (InvalidationSerializer, PendingQuery, RegistryQuery):
        assert set(kind().fields) <= words()


def test_every_path_and_header_and_scope_is_on_the_page():
    paths = {str(found.pattern).rstrip("/") for found in urlpatterns}
    assert len(paths) == 6
    assert paths | {REPLAYED, READ, WRITE} <= words()


def test_every_limit_is_on_the_page():
    for name, value in vars(limits).items():
        if name.isupper():
            assert ("1 MiB" if name == "MAX_BODY" else f" {value}") in PAGE, name
