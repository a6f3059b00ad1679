"""Moments in the middle of a write, at which code of the project runs: it can ask, or raise."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Literal

from django.db import connections, models
from django.db.models import Model, signals

# When a write is interrupted: by a receiver or a `pre_save`, before or after one of its statements.
Where = Literal["moment", "before", "after"]

_STATEMENTS = ("SELECT", "INSERT", "UPDATE", "DELETE", "WITH", "REPLACE", "MERGE")
_SIGNALS = (
    signals.pre_save,
    signals.post_save,
    signals.pre_delete,
    signals.post_delete,
    signals.m2m_changed,
)

_listeners: list[Callable[[], object]] = []


class Interruption(Exception):
    """What the project's own code raises, and catches."""


class _Eventful:
    """Runs code of the project between the statements of a save, as the name of a file does."""

    def pre_save(self, model_instance: Model, add: bool) -> Any:
        for listener in list(_listeners):
            listener()
        return super().pre_save(model_instance, add)  # type: ignore[misc]


class EventfulInteger(_Eventful, models.IntegerField):  # type: ignore[type-arg]
    pass


class EventfulText(_Eventful, models.CharField):  # type: ignore[type-arg]
    pass


@contextmanager
def listening(listener: Callable[[], object]) -> Iterator[None]:
    """Call `listener` at each moment until the block ends."""

    def receive(**kwargs: Any) -> None:
        listener()

    with ExitStack() as stack:
        for signal in _SIGNALS:
            signal.connect(receive, weak=False)
            stack.callback(signal.disconnect, receive)
        _listeners.append(listener)
        stack.callback(_listeners.remove, listener)
        yield


@contextmanager
def interrupting(alias: str, where: Where, number: int, text: str = "") -> Iterator[None]:
    """Raise `Interruption`, once, at the moment or the statement of that number.

    Only statements that begin with `text` count.
    """
    left = number

    def happen() -> None:
        nonlocal left
        left -= 1
        if left == -1:
            raise Interruption

    def execute_interrupted(execute: Any, sql: Any, params: Any, many: bool, context: Any) -> Any:
        # What Django sends to begin and to end a savepoint is not the project's to spoil.
        counts = str(sql).startswith(text or _STATEMENTS)
        if counts and where == "before":
            happen()
        result = execute(sql, params, many, context)
        if counts and where == "after":
            try:
                happen()
            except Interruption:
                context["cursor"].close()  # Or SQLite would wait for the rows to be read.
                raise
        return result

    if where == "moment":
        with listening(happen):
            yield
    else:
        with connections[alias].execute_wrapper(execute_interrupted):
            yield
