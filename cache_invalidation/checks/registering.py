"""How a function becomes a check that Django runs."""

from collections.abc import Callable, Iterator
from functools import wraps
from typing import Any

from django.core import checks
from django.core.checks import CheckMessage

Messages = Iterator[CheckMessage]


def register(
    *tags: str, deploy: bool = False
) -> Callable[[Callable[..., Messages]], Callable[..., list[CheckMessage]]]:
    """Have Django run the decorated function, which yields messages and returns a list of them."""

    def decorate(check: Callable[..., Messages]) -> Callable[..., list[CheckMessage]]:
        @wraps(check)
        def call(*args: Any, **kwargs: Any) -> list[CheckMessage]:
            return list(check(*args, **kwargs))

        checks.register(call, *tags, deploy=deploy)
        return call

    return decorate
