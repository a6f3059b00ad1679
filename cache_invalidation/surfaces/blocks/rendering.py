"""One rendering of a block: look it up, or render it and take note, and keep it."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from typing import Any, Final, Protocol, cast

from django.template import Context, Engine
from django.utils.safestring import SafeString

from cache_invalidation.reads.read import Default, Read
from cache_invalidation.reads.steps import walk
from cache_invalidation.surfaces.blocks.around import Around, Cacheable
from cache_invalidation.surfaces.blocks.left import again, later_of, leave, settle
from cache_invalidation.surfaces.blocks.sources import libraries_of, noticing, tell
from cache_invalidation.surfaces.blocks.stored import CODEC, PLAIN, Block
from cache_invalidation.surfaces.blocks.telling import Beneath, Frame, Outside, Telling
from cache_invalidation.surfaces.inputs.always import always
from cache_invalidation.surfaces.inputs.trail import Trail
from cache_invalidation.surfaces.keeping import Keeping, told
from cache_invalidation.surfaces.pages.requests import recording
from cache_invalidation.tags import block_tags, expand

#: The name of a template that has none, such as one that was made from a text.
NAMELESS: Final = "unknown"


class CacheableNode(Cacheable, Protocol):
    """The node of a block. `about` is what it is known by besides the source of its template.

    With `near`, it is kept in the memory of the process as well.
    """

    fragment: str
    about: str
    near: bool


def rendered(
    node: CacheableNode, context: Context, timeout: float | Default | None, given: list[Any]
) -> SafeString:
    """Return what `node` is rendered to, from the cache if it is there.

    `given` are further inputs. Raises what rendering raises, and nothing for a failing cache.
    """
    if context.template is None:  # Somebody renders a part of one, without saying of which.
        return node.nodelist.render(context)
    around = Around(node, context)
    keeping = _keeping(node, context, around, timeout, given)
    if keeping is None:
        return node.nodelist.render(context)
    walk(keeping.attempt())
    if keeping.read.is_hit:
        return _shown(node, context, keeping.read.value)
    return _computed(node, context, around, keeping)


def _keeping(
    node: CacheableNode,
    context: Context,
    around: Around,
    timeout: float | Default | None,
    given: list[Any],
) -> Keeping | None:
    """Return how the block is looked for and kept; None if nobody can tell it from others."""
    name, tags = _tags(str(node.origin.template_name or NAMELESS), node.fragment)

    def about() -> str:
        engine = cast(Engine, context.template.engine)  # type: ignore[union-attr]
        how = repr((context.autoescape, context.use_l10n, context.use_tz))
        what = node.about, around.source(node.origin), libraries_of(engine)
        plain = *what, how, engine.string_if_invalid, around.kind_of_request(), node.fragment
        attributes = around.attributes
        return always(plain, attributes or None, *given) if attributes or given else always(plain)

    try:
        said, _ = told(name, about)
    except Exception:  # noqa: BLE001 - the project's own, for who looks at what raises it
        return None
    if said is None:
        return None
    trail = Trail(name, said, around.current)
    read = Read(name, trail.key, tags, timeout, records=True, codec=CODEC, near=node.near)
    return Keeping(read, trail)


@lru_cache(maxsize=1000)
def _tags(template: str, fragment: str) -> tuple[str, tuple[str, ...]]:
    """Return the name of a block, and what it depends on in any case."""
    tags = block_tags(template, fragment)
    return tags[-1], expand(tags)


def _computed(
    node: CacheableNode, context: Context, around: Around, keeping: Keeping
) -> SafeString:
    value: Block | None = None
    telling = Telling(around, keeping.inputs)
    try:
        recorded = recording(around.request, keeping.inputs)
        with keeping.computing(), recorded, _telling(node, context, telling) as left:
            text = node.nodelist.render(context)
        if not keeping.inputs.refusals:
            value = _block(text, *left)
    finally:
        keeping.keep(value, keeping.inputs.refusals)
    return text


def _block(text: str, dicts: list[Any], frame: Frame) -> Block:
    names = dicts[-1]
    known = [name for name in names if name not in later_of(names)]
    plain = {name: names[name] for name in known if type(names[name]) in PLAIN}
    further = tuple(name for name in names if name not in plain)
    return Block(text, plain, further, frame.begun)


@contextmanager
def _telling(
    node: CacheableNode, context: Context, telling: Telling
) -> Iterator[tuple[list[Any], Frame]]:
    """Have `context` tell what is looked at, and set names in a dictionary of their own.

    It is the last of those that are there inside of it. They are set in the context afterwards.
    """
    around, frame = telling.around, Frame(telling, node.cycles)
    manner = around.manner()
    for put in telling.changes.remember(lambda: around.attributes).values():
        telling.changes.watch(put)
    dicts, frames = context.dicts, context.render_context.dicts
    held: Any = frame
    inside: list[Any] = [Beneath(telling), Outside(telling), {}]
    context.dicts = inside
    # In the first of these, tags keep the templates that they have found.
    context.render_context.dicts = [{}, *frames[1:-1], held]
    try:
        with noticing(partial(_note_template, telling)):
            yield inside, frame
    finally:
        context.dicts, context.render_context.dicts = dicts, frames
        if not settle(context, inside):
            telling.refuse("it leaves more, or less, than it was given")
    if around.manner() != manner:
        telling.refuse("it changes how what comes after it is rendered")
    elif not telling.inputs.refusals:
        if telling.changes.any():
            telling.refuse("it changes something that it looks at")
        elif any(type(name) is not str for name in inside[-1]):
            telling.refuse("it sets something that has no name")


def _note_template(telling: Telling, engine: Engine, name: str, skipped: int) -> None:
    if telling.around.is_of(engine):
        telling.look(f"template.{skipped}.{name}")
    else:
        telling.inputs.refuse("template", f"{name} is a template of another engine")
        tell(engine, name, skipped)


def _shown(node: CacheableNode, context: Context, block: Block) -> SafeString:
    """Return the text of a hit, and leave what rendering it would have left."""
    for number, times in block.cycles.items():
        cycle = node.cycles[number]
        cycle.reset(context)
        for _ in range(times % len(cycle.cyclevars)):
            next(context.render_context[cycle])
    later = again(node.nodelist.render, context, block.further) if block.further else {}
    leave(context, block.names, later)
    return cast(SafeString, block.text)
