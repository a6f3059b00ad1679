"""What a block leaves in a context for what is rendered after it."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping
from copy import copy
from functools import cache, partial
from typing import Any

from django.template import Context
from django.template.loader_tags import BLOCK_CONTEXT_KEY
from django.utils import timezone, translation

from cache_invalidation.surfaces.blocks.telling import Standing

Later = Callable[[], Any]


class Names(Standing):
    """A dictionary of a context with names whose values are found out when somebody asks.

    What is asked for is the value itself: not everything can be done with what stands for one.
    """

    def __init__(self, held: MutableMapping[Any, Any], later: Mapping[Any, Later]) -> None:
        self.held = held
        self.later = dict(later)

    def copy(self) -> "Names":
        """Return one that others can change."""
        return Names(dict(self.held), self.later)

    def __getitem__(self, name: Any) -> Any:
        if name in self.later:
            self[name] = self.later[name]()
        return self.held[name]

    def __contains__(self, name: Any) -> bool:
        return name in self.later or name in self.held

    def __setitem__(self, name: Any, value: Any) -> None:
        self.held[name] = value
        self.later.pop(name, None)

    def __delitem__(self, name: Any) -> None:
        if self.later.pop(name, None) is None or name in self.held:
            del self.held[name]

    def __iter__(self) -> Iterator[Any]:
        return iter(dict.fromkeys([*self.held, *self.later]))


def later_of(names: Any) -> Mapping[Any, Later]:
    """Return the names in a dictionary of a context that nobody has asked for."""
    return names.later if isinstance(names, Names) else {}


def leave(context: Context, names: Mapping[Any, Any], later: Mapping[Any, Later]) -> None:
    """Set names where the context sets names now, some of them later."""
    dicts: list[Any] = context.dicts
    dicts[-1].update(names)
    if later:
        held = dicts[-1].held if isinstance(dicts[-1], Names) else dicts[-1]
        dicts[-1] = Names(held, {**later_of(dicts[-1]), **later})


def settle(context: Context, inside: list[Any]) -> bool:
    """Leave in the context what a block has set in the last of three dictionaries, `inside`.

    Return whether these are still three: a tag may have put more on them, or have taken one away.
    """
    if len(inside) >= 3:
        names, later = inside[2], later_of(inside[2])
        leave(context, {name: names[name] for name in names if name not in later}, later)
    dicts: list[Any] = context.dicts
    dicts.extend(inside[3:])
    del dicts[len(dicts) - max(3 - len(inside), 0) :]
    return len(inside) == 3


def again(render: Callable[[Context], Any], context: Context, names: tuple[str, ...]) -> Any:
    """Return, by name, what finds out what `render` sets `names` to in what `context` is now."""
    snapshot = _snapshot(context)
    language, zone = translation.get_language(), timezone.get_current_timezone()

    @cache
    def rendered() -> Context:
        with translation.override(language), timezone.override(zone):
            render(snapshot)
        return snapshot

    return {name: partial(_get, rendered, name) for name in names}


def _get(rendered: Callable[[], Context], name: str) -> Any:
    return rendered().get(name)


def _snapshot(context: Context) -> Context:
    found = copy(context)
    found.dicts = [_copied(held) for held in context.dicts]
    frame = context.render_context.dicts[-1]
    blocks: Any = (
        {BLOCK_CONTEXT_KEY: frame[BLOCK_CONTEXT_KEY]} if BLOCK_CONTEXT_KEY in frame else {}
    )
    found.render_context.dicts[-1] = blocks
    return found


def _copied(held: Any) -> Any:
    if isinstance(held, Names):
        return held.copy()
    if not isinstance(held, dict):
        return held
    loop = held.get("forloop")
    return {**held, "forloop": _loop(loop)} if isinstance(loop, dict) else dict(held)


def _loop(loop: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a loop, which goes on, and of those that it is in."""
    outer = loop.get("parentloop")
    return {**loop, "parentloop": _loop(outer)} if isinstance(outer, dict) else dict(loop)
