"""What there is to look at from a block of a Jinja2 template."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

from django.http import HttpRequest
from jinja2 import Environment, TemplateNotFound, Undefined
from jinja2.environment import Template
from jinja2.runtime import Context
from jinja2.utils import _PassArg, missing

from cache_invalidation.reads.spelling import full_name, is_found_by_name
from cache_invalidation.surfaces.blocks.around import Momentary, is_for_head, portray_for
from cache_invalidation.surfaces.inputs.portraits import Opaque
from cache_invalidation.surfaces.jinja.reading import Reading, read_template
from cache_invalidation.surfaces.pages.outlook import ABSENT

#: Names of what is made for one visit, where Django puts it; it is never looked at.
SECRETS: Final[Mapping[str, str]] = {
    "csrf_token": "csrf",
    "csrf_input": "csrf",
    "csp_nonce": "nonce",
}

_OF_JINJA: Final = ("jinja2.ext", "jinja2.filters", "jinja2.tests")

# What was read in the source of templates that are loaded.
_readings: WeakKeyDictionary[Template, Reading] = WeakKeyDictionary()


class Around:
    """What is around a block when its rendering begins; `reading` is what its source uses.

    `names` are those that it uses, as it sees them. The context, with the variables of the
    template, is what templates see that it includes. `values` are those of both.
    """

    def __init__(
        self, context: Context, reading: Reading, names: Mapping[str, Any], own: str
    ) -> None:
        self._env: Environment = context.environment
        self._context = context
        self._reading = reading
        self._names = names
        self._own = own
        self._sources: dict[str, str] = {}
        self.values: list[Any] = []
        self.request: HttpRequest | None = None

    def portrait(self) -> tuple[Any, ...]:
        """Return all that there is to look at; raise `Opaque` for what nobody can tell."""
        reading = self._reading
        used = [reading, *self._included(reading.templates, self._context.name)]
        for each in used:
            for reason, text in each.refusals.items():
                raise Momentary(reason, text)
        code = (
            *_named(self._env.filters, _all_of(each.filters for each in used)),
            *_named(self._env.tests, _all_of(each.tests for each in used)),
        )
        included = _all_of(each.names for each in used[1:])
        visible = {name: self._context.resolve_or_missing(name) for name in included}
        self.values = [*self._names.values(), *visible.values()]
        # By its type, since what is only like a request cannot record.
        requests = (each for each in self.values if issubclass(type(each), HttpRequest))
        self.request = next(requests, None)
        is_head = self.request is not None and is_for_head(self.request)
        seen = [self._portraits(names) for names in (self._names, visible)]
        return reading.source, self._sources, code, is_head, seen

    def _portraits(self, names: Mapping[str, Any]) -> dict[str, str]:
        return {name: self._portrait(name, found) for name, found in names.items()}

    def _included(self, names: set[str], parent: str | None) -> Iterator[Reading]:
        for name in sorted(names):
            place = self._env.join_path(name, parent) if parent else name
            if place in self._sources:
                continue
            self._sources[place] = ABSENT
            try:
                template = self._env.get_template(place)
            except TemplateNotFound:
                continue  # Who includes it says whether that is an error.
            reading = self._read(template, place)
            self._sources[place] = reading.source
            yield reading
            yield from self._included(reading.templates, place)

    def _read(self, template: Template, name: str) -> Reading:
        found = _readings.get(template)
        if found is None:
            try:
                source, _, _ = self._env.loader.get_source(self._env, name)  # type: ignore[union-attr]
            except (TemplateNotFound, RuntimeError) as error:
                raise Momentary("template", f"the source of {name} is not to be found") from error
            if not template.is_up_to_date:
                raise Momentary("template", f"{name} has changed since it was loaded")
            found = _readings[template] = read_template(self._env, source, name, self._own)
        return found

    def _portrait(self, name: str, found: Any) -> str:
        if found is missing or isinstance(found, Undefined):
            return ABSENT
        if name in SECRETS:
            raise Momentary(SECRETS[name], f"it shows {name}")
        if callable(found) and found is self._env.globals.get(name):
            return code_of(found, name)
        return portray_for(self.request, found)


def _all_of(names: Iterable[set[str]]) -> list[str]:
    return sorted(set().union(*names))


def passes_context(function: Any) -> bool:
    """Whether Jinja2 hands the context to `function`, which can take anything from it.

    Those of Jinja2 itself only look for other functions there.
    """
    called: tuple[Any, ...] = function, getattr(function, "__call__", None)  # noqa: B004
    return any(
        _PassArg.from_obj(each) is _PassArg.context
        and getattr(each, "__module__", None) not in _OF_JINJA
        for each in called
    )


def _named(known: Mapping[str, Any], names: list[str]) -> Iterator[str]:
    for name in names:
        found = known.get(name)
        yield ABSENT if found is None else code_of(found, name)


def code_of(function: Any, name: str) -> str:
    """Return which code `name` stands for, in any process."""
    if passes_context(function):
        raise Momentary("context", f"{name} takes the whole context")
    if getattr(function, "__module__", None) == "jinja2.ext":
        # Wrapped around the functions of whoever translates.
        cells = [cell.cell_contents for cell in getattr(function, "__closure__", None) or ()]
        inner = [code_of(cell, name) for cell in cells if callable(cell)]
        return f"{full_name(function)}({','.join(inner)})"
    if not is_found_by_name(function):
        raise Opaque(f"{name} is no function that can be found by its name")
    return full_name(function)
