"""Statements that Django has no method for, and that go to the driver's cursor as they are.

Django's cursor hands on what it does not know, such as psycopg's ``copy()``, and nothing that wraps
the execution of statements is asked. Here these methods get a name of their own on Django's cursor,
so that the SQL watcher sees their statements like any other.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from types import SimpleNamespace
from typing import Any, Final

from django.db.backends.signals import connection_created
from django.db.backends.utils import CursorWrapper

from cache_invalidation.observing.watcher import Watcher
from cache_invalidation.wrapping import is_wrapped, wrap
from cache_invalidation.writes.writing import writing

# Stands for the cursor that is asked what a statement has found: any number of rows, of any kind.
_UNKNOWN: Final = SimpleNamespace(description=("unknown",), rowcount=sys.maxsize)


class _Method:
    """A method of the driver's cursor, for those drivers that have it.

    `call` is given Django's cursor, the watcher, the method, and the arguments.
    """

    def __init__(self, name: str, call: Callable[..., Any], original: Any = None) -> None:
        self.name = name
        self.call = call
        self.original = original  # That of a cursor of Django's which logs the statement.

    def __get__(self, cursor: Any, owner: Any = None) -> Any:
        if cursor is None:
            return self
        method = (
            getattr(cursor.cursor, self.name)
            if self.original is None
            else partial(self.original, cursor)
        )
        watcher = _watcher(cursor)
        return method if watcher is None else partial(self.call, cursor, watcher, method)


def _watcher(cursor: Any) -> Watcher | None:
    wrappers = cursor.db.execute_wrappers
    return next((each for each in wrappers if isinstance(each, Watcher)), None)


def _watch(
    cursor: Any,
    watcher: Watcher,
    execute: Callable[[], Any],
    sql: Any,
    params: Any = None,
    *,
    is_script: bool = False,
) -> Any:
    context = {"connection": cursor.db, "cursor": _UNKNOWN, "is_script": is_script}
    return watcher(lambda *statement: execute(), sql, params, False, context)


@contextmanager
def _copy(
    cursor: Any, watcher: Watcher, copy: Any, sql: Any, *args: Any, **options: Any
) -> Iterator[Any]:
    """Have the rows sent in a transaction: they are complete only when the block ends."""
    execute = partial(copy, sql, *args, **options)
    is_write = watcher.writes(sql, cursor.db)
    with (
        writing(cursor.db) if is_write else nullcontext(),
        _watch(cursor, watcher, execute, sql, _params(args, options)) as copied,
    ):
        yield copied


def _stream(
    cursor: Any, watcher: Watcher, stream: Any, sql: Any, *args: Any, **options: Any
) -> Iterator[Any]:
    """Have a statement that writes executed to its end, which is when it can be told of."""
    execute = partial(stream, sql, *args, **options)
    is_write = watcher.writes(sql, cursor.db)
    run = (lambda: list(execute())) if is_write else execute
    yield from _watch(cursor, watcher, run, sql, _params(args, options))


def _params(args: tuple[Any, ...], options: dict[str, Any]) -> Any:
    return args[0] if args else options.get("params")


def _copy_expert(
    cursor: Any, watcher: Watcher, copy: Any, sql: Any, file: Any, *args: Any, **options: Any
) -> Any:
    return _watch(cursor, watcher, partial(copy, sql, file, *args, **options), sql)


def _copy_table(
    way: str,
    cursor: Any,
    watcher: Watcher,
    copy: Any,
    file: Any,
    table: str,
    *args: Any,
    **options: Any,
) -> Any:
    execute = partial(copy, file, table, *args, **options)
    return _watch(cursor, watcher, execute, f'COPY "{table}" {way}')


def _executescript(cursor: Any, watcher: Watcher, executescript: Any, script: str) -> Any:
    return _watch(cursor, watcher, partial(executescript, script), script, is_script=True)


_METHODS: Final[dict[str, Callable[..., Any]]] = {
    "copy": _copy,  # psycopg
    "stream": _stream,
    "copy_expert": _copy_expert,  # psycopg 2
    "copy_from": partial(_copy_table, "FROM STDIN"),
    "copy_to": partial(_copy_table, "TO STDOUT"),
    "executescript": _executescript,  # SQLite
}


_RECEIVER: Final = "cache_invalidation.driver"


def install() -> None:
    """Give Django's cursors these methods. May be called again."""
    # The cursors of a backend are loaded with its first connection.
    connection_created.connect(_install, dispatch_uid=_RECEIVER)
    _install()


def _install(**kwargs: Any) -> None:
    wrapper: Any = CursorWrapper
    for name, call in _METHODS.items():
        if not isinstance(getattr(wrapper, name, None), _Method):
            setattr(wrapper, name, _Method(name, call))
        for kind in _subclasses(wrapper):
            original = vars(kind).get(name)
            if original is not None and not isinstance(original, _Method):
                setattr(kind, name, _Method(name, call, original))
    wrap(CursorWrapper, "callproc", _observed)


def _subclasses(kind: Any) -> Iterator[Any]:
    for each in kind.__subclasses__():
        yield each
        yield from _subclasses(each)


def is_installed() -> bool:
    """Whether they are there: nobody has taken them away, or put others in their place."""
    wrapper: Any = CursorWrapper
    return is_wrapped(wrapper, "callproc") and all(
        isinstance(getattr(wrapper, name, None), _Method) for name in _METHODS
    )


def _observed(callproc: Any, cursor: Any, /, procname: str, *args: Any, **kwargs: Any) -> Any:
    """Have a procedure taken for a statement that calls it: what it reads is not known."""
    execute = partial(callproc, cursor, procname, *args, **kwargs)
    watcher = _watcher(cursor)
    if watcher is None:
        return execute()
    return _watch(cursor, watcher, execute, f'CALL "{procname}"()')
