"""What there is to look at from a block of a Jinja2 template."""

from collections.abc import Iterator, Mapping
from typing import Any, Final
from weakref import WeakKeyDictionary

from django.contrib.messages.storage.base import BaseStorage
from django.http import HttpRequest
from jinja2 import Environment, TemplateNotFound, Undefined
from jinja2.environment import Template
from jinja2.runtime import Context
from jinja2.utils import _PassArg, missing

from cache_invalidation.reads.spelling import full_name, is_found_by_name
from cache_invalidation.surfaces.blocks.around import Momentary
from cache_invalidation.surfaces.inputs.portraits import Opaque, portray
from cache_invalidation.surfaces.jinja.reading import Reading, read_template
from cache_invalidation.surfaces.pages.outlook import ABSENT, Outlook
from cache_invalidation.surfaces.pages.requests import tell
from cache_invalidation.surfaces.pages.swapping import held_by

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
    template, is what templates see that it includes. `seen` and `included` are the portraits of
    both, `sources` those of the templates. Raises `Opaque` for what nobody can tell.
    """

    def __init__(
        self, context: Context, reading: Reading, names: Mapping[str, Any], own: str
    ) -> None:
        self._env: Environment = context.environment
        self._own = own
        self.request: HttpRequest | None = None
        self.source = reading.source
        self.sources: dict[str, str] = {}
        included: set[str] = set()
        filters, tests = set(reading.filters), set(reading.tests)
        for each in (reading, *self._included(reading.templates, context.name)):
            if each.refusals:
                reason, text = next(iter(each.refusals.items()))
                raise Momentary(reason, text)
            included |= each.names if each is not reading else set()
            filters |= each.filters
            tests |= each.tests
        self.code = (
            *_named(self._env.filters, filters),
            *_named(self._env.tests, tests),
        )
        self.values = list(names.values())
        self.seen = {name: self._portrait(name, found) for name, found in names.items()}
        visible = {name: context.resolve_or_missing(name) for name in sorted(included)}
        self.values += visible.values()
        self.included = {name: self._portrait(name, found) for name, found in visible.items()}

    def _included(self, names: set[str], parent: str | None) -> Iterator[Reading]:
        for name in sorted(names):
            place = self._env.join_path(name, parent) if parent else name
            if place in self.sources:
                continue
            self.sources[place] = ABSENT
            try:
                template = self._env.get_template(place)
            except TemplateNotFound:
                continue  # Who includes it says whether that is an error.
            reading = self._reading(template, place)
            self.sources[place] = reading.source
            yield reading
            yield from self._included(reading.templates, place)

    def _reading(self, template: Template, name: str) -> Reading:
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
        # By its type, since what is only like a request cannot record.
        if issubclass(type(found), HttpRequest):
            return self._is_the_request(found)
        if isinstance(found, BaseStorage):
            if len(found):
                raise Momentary("messages", "it shows messages")
            return "no messages"
        if callable(found) and found is self._env.globals.get(name):
            return code_of(found, name)
        return portray(found)

    def _is_the_request(self, found: HttpRequest) -> str:
        if self.request is None:
            self.request = found
        if found is not self.request:
            raise Opaque("it is another request")
        # What was made for the head of a page has the inputs of a GET otherwise.
        return f"the request {held_by(found).get('method') == 'HEAD'}"

    def current(self, name: str) -> str:
        """Return what the input `name` of the request is now, as text.

        Raises `Opaque` if nobody can tell, and what evaluating it raises.
        """
        if self.request is None:
            raise Opaque("there is no request")
        tell(self.request, name)
        return Outlook(self.request).current(name)


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


def _named(known: Mapping[str, Any], names: set[str]) -> Iterator[str]:
    for name in sorted(names):
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
    if not hasattr(function, "__qualname__") or not is_found_by_name(function):
        raise Opaque(f"{name} is no function that can be found by its name")
    return full_name(function)
