"""The parts of ``docs/reference/api.md`` that are made of the code: signatures and docstrings.

A part stands between two comments, of which the first names what it is about and which of its
members. What stands around the parts, examples among it, is written by hand.
"""

import ast
import dataclasses
import inspect
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

from django.utils.module_loading import import_string

PAGE = Path(__file__).resolve().parent.parent / "docs" / "reference" / "api.md"
WIDTH = 100  # characters of a signature in one line

_PART = re.compile(
    r"(?P<begin><!-- made of (?P<path>[\w.]+)(?: with (?P<members>[\w ]+))? -->\n)"
    r".*?(?P<end><!-- end -->\n)",
    re.DOTALL,
)


def remade(page: str) -> str:
    """Return `page` with each part as the code says it now."""
    return _PART.sub(_part, page)


def documented(page: str) -> dict[str, str]:
    """Return what follows each part until the next heading, by the name that it is about."""
    found = {}
    for match in _PART.finditer(page):
        rest = page[match.end() :]
        found[match["path"].rpartition(".")[2]] = re.split(r"^#|^<!-- made", rest, flags=re.M)[0]
    return found


def _part(match: re.Match[str]) -> str:
    found = import_string(match["path"])
    name = match["path"].rpartition(".")[2]
    lines = [_described(name, found)]
    for member in (match["members"] or "").split():
        lines.append(_described(f"{name}.{member}", inspect.getattr_static(found, member)))
    return f"{match['begin']}\n{''.join(lines)}{match['end']}"


def _described(name: str, found: Any) -> str:
    """Return a signature and the docstring, as Markdown."""
    text = re.sub(r"``(.+?)``", r"`\1`", inspect.getdoc(found) or "")
    return f"```text\n{_signature(name, found)}\n```\n\n{text}\n\n"


def _signature(name: str, found: Any) -> str:
    """Return the signature as it is written in the code, without `self`."""
    if isinstance(found, property):
        return name
    if isinstance(found, type) and issubclass(found, Exception):
        return f"{name}({', '.join(base.__name__ for base in found.__bases__)})"
    node: Any = ast.parse(dedent(inspect.getsource(inspect.unwrap(found)))).body[0]
    arguments = node
    if isinstance(found, type):
        inits = [n for n in node.body if isinstance(n, ast.FunctionDef) and n.name == "__init__"]
        if not inits and dataclasses.is_dataclass(found):
            fields = [ast.unparse(n) for n in node.body if isinstance(n, ast.AnnAssign)]
            return _wrapped(name, ["*", *fields], "")
        if not inits:
            return name
        arguments = inits[0]
    parts = _parts(arguments.args)
    returns = getattr(node, "returns", None)
    return _wrapped(name, parts, f" -> {ast.unparse(returns)}" if returns is not None else "")


def _parts(arguments: ast.arguments) -> list[str]:
    """Return each parameter, with its annotation and its default."""
    positional = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(positional) - len(arguments.defaults)) + list(arguments.defaults)
    parts = []
    for number, (argument, default) in enumerate(zip(positional, defaults, strict=True), 1):
        if argument.arg != "self":
            parts.append(_parameter(argument, default))
        if number == len(arguments.posonlyargs):
            parts.append("/")
    if arguments.vararg:
        parts.append(f"*{ast.unparse(arguments.vararg)}")
    elif arguments.kwonlyargs:
        parts.append("*")
    for argument, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        parts.append(_parameter(argument, default))
    if arguments.kwarg:
        parts.append(f"**{ast.unparse(arguments.kwarg)}")
    return parts


def _parameter(argument: ast.arg, default: ast.expr | None) -> str:
    text = ast.unparse(argument)
    if default is None:
        return text
    equals = " = " if argument.annotation else "="
    return f"{text}{equals}{ast.unparse(default)}"


def _wrapped(name: str, parts: list[str], returns: str) -> str:
    line = f"{name}({', '.join(parts)}){returns}"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"{name}(", *(f"    {part}," for part in parts), f"){returns}"])
