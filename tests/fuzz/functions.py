"""Cached functions that perform one read each, declared in the ways that a project does it."""

from collections.abc import Callable
from contextlib import AbstractContextManager, suppress
from functools import wraps
from typing import Any, Literal, Protocol

from cache_invalidation import cached
from tests.fuzz.arguments import told
from tests.fuzz.reads import Read

# How it is declared: as usual; with attributes that others have put on it, such as those that a
# cached function has itself; by wrapping another cached function, or with that as its function.
Dress = Literal["usual", "attributes", "wraps", "twice"]

_ATTRIBUTES = ("uncached", "signature", "tags", "records", "timeout", "lock", "sample", "key")


class Owner(Protocol):
    """Whoever has the functions, and may write while one computes."""

    @property
    def alias(self) -> str: ...
    def computing(self, function: "Function") -> AbstractContextManager[None]: ...


class Function:
    """A cached function, and what it has done."""

    def __init__(self, owner: Owner, read: Read, name: str) -> None:
        self.owner, self.read = owner, read
        self.computed = 0
        self.parts = [
            Function(owner, part, f"{name}.{number}") for number, part in enumerate(read.parts)
        ]
        self.cached: Any = cached(tags=read.tags, timeout=60, name=name)(self._dressed(name))
        self.arguments = tuple(filter(self._takes, read.arguments)) or (None,)

    def _dressed(self, name: str) -> Callable[..., Any]:
        def compute(argument: Any = None) -> Any:
            return self._compute(argument)

        def another(argument: Any = None) -> Any:
            return "another"

        dressed: Callable[..., Any] = compute
        if self.read.dress == "attributes":
            for attribute in _ATTRIBUTES:
                setattr(compute, attribute, another)
        elif self.read.dress == "wraps":
            dressed = wraps(cached(name=f"{name} before")(another))(compute)
        elif self.read.dress == "twice":
            dressed = cached(tags=self.read.tags, timeout=60, name=f"{name} inside")(compute)
        return dressed

    def _takes(self, argument: Any) -> bool:
        """Whether it can be part of a key: what has no stable text is refused."""
        with suppress(TypeError):
            return bool(self.cached.key(argument))
        return False

    def _compute(self, argument: Any) -> Any:
        self.computed += 1
        with self.owner.computing(self):
            value = self._value()
        return value if argument is None else (told(argument), value)

    def _value(self) -> Any:
        if self.parts:
            return [part.cached() for part in self.parts]
        return self.read.on(self.owner.alias)

    def truth(self, argument: Any = None) -> Any:
        """Return what the function would, if nothing were cached."""
        if self.parts:
            return [part.truth() for part in self.parts]
        value = self.read.on(self.owner.alias)
        return value if argument is None else (told(argument), value)

    def computations(self) -> int:
        """How often anything was computed; if a call adds as many as there are, it had no hit."""
        return self.computed + sum(part.computed for part in self.parts)
