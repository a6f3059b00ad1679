"""Rules that many tests declare, and how all tests of a module have some in force."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from typing import Any

import pytest
from django.db.models import Model

from cache_invalidation import ModelInvalidation, registry
from cache_invalidation.testing import override_rules


class ByCategory(ModelInvalidation):
    tags = ["category:{category_id}"]


class ByName(ModelInvalidation):
    tags = ["name:{name}"]


Override = Callable[..., None]


@pytest.fixture
def override() -> Iterator[Override]:
    """Give a model a rule until the test ends."""
    with ExitStack() as stack:

        def enter(model: type[Model], **attributes: Any) -> None:
            declaration = type(f"{model.__name__}Rule", (ModelInvalidation,), attributes)
            stack.enter_context(registry.override(model, declaration))

        yield enter


def in_force(rules: Mapping[type[Model], type[ModelInvalidation] | None]) -> Any:
    """Return a fixture: in each test of the module that has it, `rules` are those of the models."""

    @pytest.fixture(autouse=True)
    def rules_in_force() -> Iterator[None]:
        with override_rules(rules):
            yield

    return rules_in_force
