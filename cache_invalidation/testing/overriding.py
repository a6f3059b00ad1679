"""Other rules for one test."""

from collections.abc import Mapping, Sequence
from contextlib import ExitStack

from django.db.models import Model
from django.test.utils import TestContextDecorator

from cache_invalidation.rules.declarations import ModelInvalidation
from cache_invalidation.rules.registry import registry

Rules = type[ModelInvalidation] | Sequence[type[ModelInvalidation]] | None


class override_rules(TestContextDecorator):  # noqa: N801 - it is used as Django's are
    """Replace the rules of models until the block ends: by one, by a list, or by none with None.

    Also decorates functions, coroutine functions and methods, and classes of test cases: there it
    is in force from before `setUp` until the last cleanup of each test, but not yet in
    `setUpTestData`. Raises `TypeError` for what is no model, or no rule; then nothing is replaced.
    """

    def __init__(self, rules: Mapping[type[Model], Rules], /) -> None:
        super().__init__()
        self.rules = dict(rules)
        # A decorated function may call itself.
        self._open: list[ExitStack] = []

    def enable(self) -> None:
        """Put the rules in force; each `disable` undoes one of these."""
        with ExitStack() as stack:
            for model, rules in self.rules.items():
                several = rules if isinstance(rules, list | tuple) else [rules]
                stack.enter_context(registry.override(model, *several))
            self._open.append(stack.pop_all())

    def disable(self) -> None:
        """Put back the rules that were there before."""
        self._open.pop().close()
