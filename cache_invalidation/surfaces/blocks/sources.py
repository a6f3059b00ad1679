"""The sources of templates as inputs: a block is another one when a template that it uses is.

Which templates those are shows while it is rendered: names can be variables. So the search for a
template is what is noticed, with what was found or not.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Final

from django.template import Engine, Template, TemplateDoesNotExist
from django.template.base import Origin

from cache_invalidation.surfaces.inputs.trail import digest
from cache_invalidation.surfaces.pages.outlook import ABSENT

#: Called with the engine, the name, and how many templates of this name are to be skipped: one that
#: extends a template of its own name means the next.
Noticed = Callable[[Engine, str, int], None]

#: So many templates of one name are looked through for the one that a block is in.
DEEPEST: Final = 10

_DIGEST: Final = "_cache_invalidation_digest"

_noticed: ContextVar[Noticed | None] = ContextVar("cache_invalidation_sources", default=None)
_find: Final = Engine.find_template


def _find_and_tell(
    self: Engine, name: str, dirs: Any = None, skip: list[Origin] | None = None
) -> Any:
    noticed = _noticed.get()
    if noticed is not None:
        same = [origin for origin in skip or () if origin.template_name == name]
        noticed(self, str(name), len(same))
    return _find(self, name, dirs, skip)


def install() -> None:
    """Have searches for templates noticed from now on, in this process."""
    Engine.find_template = _find_and_tell  # type: ignore[method-assign]


@contextmanager
def noticing(noticed: Noticed) -> Iterator[None]:
    """Tell `noticed` of each template that is searched for inside of the block.

    It is called aside, so that what it searches for itself is told to those outside only.
    """
    outer = _noticed.get()

    def aside(engine: Engine, name: str, skipped: int) -> None:
        token = _noticed.set(outer)
        try:
            noticed(engine, name, skipped)
        finally:
            _noticed.reset(token)

    token = _noticed.set(aside)
    try:
        yield
    finally:
        _noticed.reset(token)


def tell(engine: Engine, name: str, skipped: int) -> None:
    """Let those who notice know of a template that something depends on."""
    noticed = _noticed.get()
    if noticed is not None:
        noticed(engine, name, skipped)


def source_now(engine: Engine, name: str, skipped: int) -> str:
    """Return a digest of what `engine` has under `name` now, or that there is nothing."""
    try:
        for number, template in enumerate(_all_named(engine, name)):
            if number == skipped:
                return digest_of(template)
    except TemplateDoesNotExist:
        pass
    return ABSENT


def source_at(engine: Engine, origin: Origin, rendered: Sequence[Any] = ()) -> str | None:
    """Return the digest of the source that came from `origin`; None if that is not to be found.

    `rendered` are templates that it may be that of.
    """
    for template in rendered:
        if isinstance(template, Template) and template.origin is origin:
            return digest_of(template)
    if not isinstance(origin.template_name, str):
        return None
    try:
        for template in _all_named(engine, origin.template_name):
            if template.origin == origin:
                return digest_of(template)
    except TemplateDoesNotExist:
        pass
    return None


def _all_named(engine: Engine, name: str) -> Iterator[Template]:
    skip: list[Origin] = []
    while len(skip) < DEEPEST:
        template, origin = _find(engine, name, skip=list(skip))
        yield template
        skip.append(origin)


def digest_of(template: Any) -> str:
    """Return what stands for the source of a template; it is kept with it."""
    held = vars(template)
    if _DIGEST not in held:
        held[_DIGEST] = digest(str(template.source))
    found: str = held[_DIGEST]
    return found


def libraries_of(engine: Engine) -> str:
    """Return what stands for the tags and filters that templates of an engine can load."""
    held = vars(engine)
    if _DIGEST not in held:
        found = [f"{name}={path}" for name, path in sorted(engine.libraries.items())]
        held[_DIGEST] = digest("\0".join([*found, *map(str, engine.builtins)]))
    said: str = held[_DIGEST]
    return said
