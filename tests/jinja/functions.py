"""What projects put into an environment of Jinja2."""

from typing import Any

from jinja2 import pass_context, pass_environment
from jinja2.runtime import Context

#: How often ``seen()`` was called.
times = 0


def seen() -> str:
    """Take note that a block is rendered."""
    global times
    times += 1
    return ""


@pass_context
def from_context(context: Context, name: str) -> Any:
    """Take a value from the context."""
    return context.get(name, "nothing")


@pass_context
def filter_by_context(context: Context, value: Any) -> str:
    """Take another value from the context."""
    return f"{value}{context.get('secret')}"


@pass_context
def test_by_context(context: Context, value: Any) -> bool:
    """Compare with a value from the context."""
    return bool(context.get("secret") == value)


@pass_environment
def by_environment(environment: Any, value: Any) -> str:
    """Take what is the same for all."""
    return f"{value}{environment.block_start_string}"


class Taking:
    """Something whose method takes the context."""

    @pass_context
    def take(self, context: Context) -> Any:
        """Take a value from the context."""
        return context.get("secret")
