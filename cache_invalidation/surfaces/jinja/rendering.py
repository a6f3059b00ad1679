"""One rendering of a block of a Jinja2 template: look it up, or render it and keep it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache, partial
from typing import Any, Final, cast

from django.utils.timezone import get_current_timezone
from django.utils.translation import get_language
from jinja2.runtime import Context
from markupsafe import Markup

from cache_invalidation.reads.read import Default, Read
from cache_invalidation.reads.spelling import full_name
from cache_invalidation.reads.steps import walk
from cache_invalidation.surfaces.blocks.around import of_request
from cache_invalidation.surfaces.blocks.rendering import NAMELESS
from cache_invalidation.surfaces.blocks.stored import CODEC, Block
from cache_invalidation.surfaces.inputs.always import always
from cache_invalidation.surfaces.inputs.changes import Changes
from cache_invalidation.surfaces.inputs.inputs import Inputs
from cache_invalidation.surfaces.inputs.trail import Trail
from cache_invalidation.surfaces.jinja.around import Around, code_of, passes_context
from cache_invalidation.surfaces.keeping import Keeping, told
from cache_invalidation.surfaces.pages.requests import recording
from cache_invalidation.tags import block_tags, expand

# Of the blocks that are rendered with a context, from the outermost to the innermost.
_INPUTS: Final = "_cache_invalidation_inputs"


def rendered(
    context: Context,
    around: Around,
    timeout: float | Default | None,
    given: list[Any],
    render: Callable[[], str],
    *,
    near: bool = False,
) -> str:
    """Return what `render` returns, from the cache if it is there.

    `context` is what `render` uses. `given` are further inputs, of which the first, if it is text,
    is a name. Raises what rendering raises, and nothing for a failing cache.
    """
    fragment = given[0] if given and isinstance(given[0], str) else ""
    tags = block_tags(context.name or NAMELESS, fragment)
    name = tags[-1]

    def about() -> str:
        how = (bool(context.eval_ctx.autoescape),)
        return always(how, _environment(context), given, *around.portrait())

    try:
        said, _ = told(name, about)
    except Exception:  # noqa: BLE001 - the project's own, for who renders what raises it
        return render()
    if said is None:
        return render()
    trail = Trail(name, said, partial(of_request, around.request))
    read = Read(name, trail.key, expand(tags), timeout, records=True, codec=CODEC, near=near)
    keeping = Keeping(read, trail)
    walk(keeping.attempt())
    if keeping.read.is_hit:
        text: str = keeping.read.value.text
        return Markup(text) if context.eval_ctx.autoescape else text  # noqa: S704
    return _computed(context, around, keeping, render)


def _environment(context: Context) -> tuple[str, ...]:
    """Return what makes one environment another than the next, besides what a block names."""
    env = context.environment
    finalize = None if env.finalize is None else code_of(env.finalize, "finalize")
    return (*sorted(env.extensions), full_name(env.undefined), str(finalize))


def _computed(context: Context, around: Around, keeping: Keeping, render: Callable[[], str]) -> str:
    value: Block | None = None
    inputs, changes = keeping.inputs, Changes()
    for each in around.values:
        changes.watch(each)
    language = get_language(), get_current_timezone()
    try:
        recorded = recording(around.request, inputs)
        with recorded, keeping.computing(), _watched(context, inputs):
            text = render()
        value = Block(str(text))
        if changes.any() or (get_language(), get_current_timezone()) != language:
            inputs.refuse("state", "it changes something that it looks at")
    finally:
        keeping.keep(value, keeping.inputs.refusals)
    return text


@contextmanager
def _watched(context: Context, inputs: Inputs) -> Iterator[None]:
    """Refuse what a function is made of that is handed the whole context inside of the block."""
    kind, held = type(context), vars(context)
    around: tuple[Inputs, ...] = held.get(_INPUTS, ())
    if not around:
        context.__class__ = _watching(cast(Any, kind))
    held[_INPUTS] = (*around, inputs)
    try:
        yield
    finally:
        held[_INPUTS] = around
        context.__class__ = kind


@cache
def _watching(kind: Any) -> Any:
    def call(context: Any, function: Any, /, *args: Any, **kwargs: Any) -> Any:
        if passes_context(function):
            for inputs in vars(context)[_INPUTS]:
                inputs.refuse("context", f"{function!r} takes the whole context")
        return kind.call(context, function, *args, **kwargs)

    return type(kind.__name__, (kind,), {"call": call})
