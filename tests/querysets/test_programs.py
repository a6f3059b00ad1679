"""Random queries and random writes: what is cached is what is in the database."""

import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, seed
from hypothesis import settings as configured

from cache_invalidation.metrics.report import read_metrics
from cache_invalidation.observing import tags_read
from cache_invalidation.reads import protocol, recorders, storing
from cache_invalidation.surfaces.querysets import answering, keys, rows
from tests.querysets.asking import both
from tests.querysets.programs import Different, Program, Run, programs
from tests.testapp.novels import Novel

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "300")) // 20
SEED = int(os.environ.get("FUZZ_SEED", "1"))

LEAST_SHARE = 0.3  # of the queries have to be hits, or nothing is tested

pytestmark = [
    both,
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore::cache_invalidation.CacheDependencyWarning"),
]


def explore(alias: str, examples: int) -> None:
    @seed(SEED)
    @configured(
        max_examples=examples,
        database=None,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(programs)
    def run(program: Program) -> None:
        Run(program, alias)()

    run()


def test_a_cached_query_returns_what_the_database_would(using: str) -> None:
    explore(using, EXAMPLES)
    rate = read_metrics()["functions"]["testapp.novel.queries"]["hit_rate"]
    assert rate is not None
    assert rate > LEAST_SHARE


def _no_parameters(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(keys, "_spelled", lambda value: "")


def _no_text(patch: pytest.MonkeyPatch) -> None:
    key_of = keys.key_of
    patch.setattr(
        answering,
        "key_of",
        lambda name, connection, text, params, part: key_of(name, connection, "", params, part),
    )


def _no_relations(patch: pytest.MonkeyPatch) -> None:
    def own_only(*args: Any) -> Any:
        found = tags_read.tags_read(*args)
        return {model: tags for model, tags in found.items() if model is Novel}

    patch.setattr(recorders, "tags_read", own_only)


def _no_dependencies(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(recorders.Sampled, "_depend_on", lambda self, tags, *args: self.tags.update(tags))


def _own_writes_not_seen(patch: pytest.MonkeyPatch) -> None:
    for module in (protocol, storing, recorders):
        patch.setattr(module, "written_by_this_thread", lambda *args: False)


def _a_row_too_few(patch: pytest.MonkeyPatch) -> None:
    encode = rows.encode
    patch.setattr(rows, "encode", lambda found, store: encode(found[:3], store))


SABOTAGES: list[Callable[[pytest.MonkeyPatch], None]] = [
    _no_parameters,
    _no_text,
    _no_relations,
    _no_dependencies,
    _own_writes_not_seen,
    _a_row_too_few,
]


@pytest.mark.parametrize("sabotage", SABOTAGES, ids=lambda sabotage: sabotage.__name__)
def test_what_is_broken_is_found(
    sabotage: Callable[[pytest.MonkeyPatch], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    sabotage(monkeypatch)
    # What is cached under another query may not even have the shape of it.
    with pytest.raises((Different, IndexError, TypeError, ValueError)):
        explore("default", max(EXAMPLES, 60))
