"""Warnings that point at the code which called a cached function, and not into this package."""

import asyncio
import concurrent.futures
import inspect
import sys
import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, Final

import asgiref

# What may stand between a call and what is done about it, in a coroutine for instance.
_BETWEEN: Final = (
    *(str(Path(str(each.__file__)).parent) for each in (asgiref, asyncio, concurrent.futures)),
    str(Path(__file__).parents[1]),
    str(threading.__file__),
)


def warn(message: str, category: type[Warning], function: Callable[..., Any]) -> None:
    """Warn of what a call of the cached `function` does, where it is called.

    A call that is finished in a thread of its own is not to be seen there: then where the function
    is written.
    """
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and frame.f_code.co_filename.startswith(_BETWEEN):
        frame = frame.f_back
    if frame is not None:
        filename, line, scope = frame.f_code.co_filename, frame.f_lineno, frame.f_globals
    else:
        filename, line, scope = _place_of(function)
    # A module that is None would silence it.
    name = scope.get("__name__", "<string>")
    registry = scope.setdefault("__warningregistry__", {})
    warnings.warn_explicit(message, category, filename, line, name, registry)


def _place_of(function: Any) -> tuple[str, int, dict[str, Any]]:
    inner = inspect.unwrap(function)
    code = getattr(inner, "__code__", None)
    if code is None:
        return "<unknown>", 1, {}
    return code.co_filename, code.co_firstlineno, inner.__globals__
