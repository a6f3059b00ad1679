"""From the arguments of a call to the key of its entry."""

import inspect
from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from hashlib import blake2b
from typing import Any, Final

from django.db.models import Manager, QuerySet

from cache_invalidation.reads.decorated import name_of, signatures_of
from cache_invalidation.reads.spelling import PLAIN, spell
from cache_invalidation.tags import check_name

_STARS: Final[Mapping[Any, str]] = {
    inspect.Parameter.VAR_POSITIONAL: "*",
    inspect.Parameter.VAR_KEYWORD: "**",
}
_GIVEN: Final = "/"  # Where the names of those are that are given, among the arguments.
_LONGEST: Final = 200  # characters of an argument in a message


class Signature:
    """The parameters of a function, and how its calls are told apart."""

    def __init__(self, function: Callable[..., Any], name: str | None = None) -> None:
        self.name = check_name(name_of(function) if name is None else name, "name")
        self._signature, self._own = signatures_of(function)
        parameters = self._signature.parameters.values()
        self.names = tuple(parameter.name for parameter in parameters)
        kinds = {parameter.kind for parameter in parameters}
        self._is_plain = kinds <= {inspect.Parameter.POSITIONAL_OR_KEYWORD}

    def bind(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments by name, defaults included; raise `TypeError` as a call would."""
        if self._is_plain and not kwargs and len(args) == len(self.names):
            return dict(zip(self.names, args, strict=True))
        try:
            bound = self._signature.bind(*args, **kwargs)
        except TypeError as error:
            # A decorator may take other arguments than what it hands them on to.
            bound = self._bound_to_own(args, kwargs, error)
            bound.apply_defaults()
            return {self._starred(name): value for name, value in bound.arguments.items()}
        given = list(bound.arguments)
        bound.apply_defaults()
        if self._own is self._signature or len(given) == len(bound.arguments):
            return bound.arguments
        # What hands them on may put another one in front, or choose among functions: which default
        # an argument has that is not given, nobody knows.
        return bound.arguments | {_GIVEN: ",".join(given)}

    def _bound_to_own(
        self, args: tuple[Any, ...], kwargs: Mapping[str, Any], error: TypeError
    ) -> inspect.BoundArguments:
        try:
            if self._own is not self._signature:
                return self._own.bind(*args, **kwargs)
        except TypeError as other:
            error = other
        raise TypeError(f"{self.name}(): {error}") from None

    def key(self, arguments: Mapping[str, Any], variant: tuple[str, ...] = ()) -> str:
        """Return the key for these arguments; of several, that of one `variant`.

        Raises `TypeError`, naming the argument, for one that has no stable spelling.
        """
        if not (arguments or variant):
            return self.name
        lines = [self._spell(name, value) for name, value in arguments.items()]
        spelled = "\n".join([*lines, *(f"~{each}" for each in variant)])
        digest = blake2b(spelled.encode(), digest_size=12).digest()
        return f"{self.name}:{urlsafe_b64encode(digest).decode()}"

    @staticmethod
    def name_in(key: str) -> str:
        """Return the name of the function in a key, which is all of it without arguments."""
        name, colon, digest = key.rpartition(":")
        return name if colon and len(digest) == 16 else key

    def _starred(self, name: str) -> str:
        """Return the name with the stars in front of it that it was declared with."""
        return f"{_STARS.get(self._own.parameters[name].kind, '')}{name}"

    def _spell(self, name: str, value: Any) -> str:
        if type(value) in PLAIN:
            return f"{name}={spell(value)}"
        stars = "" if name[0] == "*" else _STARS.get(self._signature.parameters[name].kind, "")
        if (stars or name).startswith("**"):
            items = sorted(value.items())
            return "\n".join([f"**{key!r}={self._stable(key, item)}" for key, item in items])
        # With the star, because one argument that is a tuple is not several.
        return f"{stars}{name}={self._stable(name, value)}"

    def _stable(self, name: str, value: Any) -> str:
        try:
            return spell(value)
        except TypeError as error:
            raise TypeError(
                f"{self.name}() cannot be cached for {name}={_shown(value)}: {error}."
            ) from None


def _shown(value: Any) -> str:
    """Return an argument as a message shows it, without asking the database for it."""
    if isinstance(value, QuerySet | Manager):
        return f"<{type(value).__name__}>"
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001 - whatever is wrong with it, this is about something else
        text = object.__repr__(value)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
