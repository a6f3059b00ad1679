"""Mappings that stand in a context for what is outside of a block, and tell what is looked at.

They hold nothing themselves: what they stand for may be told of in turn, by the block around.
"""

from collections.abc import Hashable, Iterator, Mapping, MutableMapping
from functools import partial
from typing import Any

from django.template.defaulttags import CycleNode
from django.template.library import InclusionNode
from django.template.loader_tags import BLOCK_CONTEXT_KEY
from django.utils.functional import SimpleLazyObject

from cache_invalidation.surfaces.blocks.around import CONSTANTS, MISSING, SECRETS, Around
from cache_invalidation.surfaces.inputs.changes import Changes
from cache_invalidation.surfaces.inputs.inputs import Inputs


class Telling:
    """What is looked at of `around` from inside, noted in `inputs`."""

    def __init__(self, around: Around, inputs: Inputs) -> None:
        self.around = around
        self.inputs = inputs
        self.changes = Changes()

    def look(self, name: str) -> None:
        """Take note that the input `name` is looked at."""
        self.inputs.look_by(name, partial(self.around.current, name))

    def refuse(self, text: str) -> None:
        """Have nothing stored, for the sake of the context."""
        self.inputs.refuse("context", text)


class Standing(MutableMapping[Any, Any]):
    """A mapping that stands for another one: it is as long as, and looks like, what it yields."""

    def __len__(self) -> int:
        return len(list(iter(self)))

    def __repr__(self) -> str:
        return repr(dict(self))


class Outside(Standing):
    """The names that a context holds."""

    def __init__(self, telling: Telling) -> None:
        self._telling = telling
        self._around = telling.around

    def __getitem__(self, name: Any) -> Any:
        if name in CONSTANTS:
            raise KeyError(name)  # It is found where each context has it.
        is_first = f"name.{name}" not in self._telling.inputs.seen
        if not isinstance(name, str):
            self._telling.refuse("the context holds something that has no name")
        else:
            self._telling.look(f"name.{name}")
        found = self._around.find(name)
        if found is MISSING:
            raise KeyError(name)
        if name in SECRETS and found is not None:
            return SimpleLazyObject(partial(self._reveal, name, found))
        if name == "forloop" and isinstance(found, Mapping):
            return Loop(self._telling, found)
        if is_first and not self._telling.inputs.refusals:
            self._telling.changes.watch(found)
        return found

    def _reveal(self, name: str, found: Any) -> Any:
        self._telling.inputs.refuse(SECRETS[name], f"it shows {name}")
        return found

    def __iter__(self) -> Iterator[Any]:
        self._telling.look("names")
        return self._around.names()

    def __setitem__(self, name: Any, value: Any) -> None:
        self._telling.refuse(f"it sets {name!r}, which was there before")
        self._holder(name)[name] = value

    def __delitem__(self, name: Any) -> None:
        self._telling.refuse(f"it takes {name!r} away")
        del self._holder(name)[name]

    def _holder(self, name: Any) -> Any:
        dicts = self._around.dicts
        return next((held for held in reversed(dicts) if name in held), dicts[-1])


class Beneath(Standing):
    """What a context begins with: constants, and what a tag has put there to be seen everywhere."""

    def __init__(self, telling: Telling) -> None:
        self._held: Any = telling.around.dicts[0]
        self._telling = telling

    def _refuse(self) -> None:
        self._telling.refuse("it goes to the beginning of the context")

    def __getitem__(self, name: Any) -> Any:
        if name not in CONSTANTS and name in self._held:
            self._refuse()
        return self._held[name]

    def __setitem__(self, name: Any, value: Any) -> None:
        self._refuse()
        self._held[name] = value

    def __delitem__(self, name: Any) -> None:
        self._refuse()
        del self._held[name]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._held)


class Loop(Standing):
    """A ``forloop``; `path` is where it is, such as ``parentloop.``."""

    def __init__(self, telling: Telling, held: Any, path: str = "") -> None:
        self._telling = telling
        self._held = held
        self._path = path

    def __getitem__(self, name: Any) -> Any:
        if not isinstance(name, str):
            self._refuse()
            return self._held[name]
        if name == "parentloop" and isinstance(self._held.get(name), Mapping):
            return Loop(self._telling, self._held[name], f"{self._path}{name}.")
        self._telling.look(f"loop.{self._path}{name}")
        return self._held[name]

    def _refuse(self) -> None:
        self._telling.inputs.refuse("state", "it is told apart from what the loop has shown before")

    def __iter__(self) -> Iterator[Any]:
        self._telling.look(f"loop.{self._path}".rstrip("."))
        return iter(self._held)

    def __setitem__(self, name: Any, value: Any) -> None:
        self._refuse()
        self._held[name] = value

    def __delitem__(self, name: Any) -> None:
        self._refuse()
        del self._held[name]


class Frame(MutableMapping[Any, Any]):
    """What the nodes of a template keep while it is rendered, such as how far a cycle is.

    `begun` says of cycles that began inside how often they were asked since.
    """

    def __init__(self, telling: Telling, cycles: list[CycleNode]) -> None:
        self._telling = telling
        self._held = telling.around.frame
        self._cycles = cycles
        self._own: dict[Any, Any] = {}
        self.begun: dict[int, int] = {}

    def _number(self, key: Any) -> int | None:
        found = (number for number, node in enumerate(self._cycles) if node is key)
        return next(found, None)

    def _look(self, key: Hashable) -> None:
        number = self._number(key)
        if number is not None:
            self._telling.look(f"cycle.{number}")
        elif key == BLOCK_CONTEXT_KEY:
            self._telling.look("blocks")
        else:
            self._refuse(key)

    def _refuse(self, key: Any) -> None:
        self._telling.inputs.refuse("state", f"it goes on with the state of {key!r}")

    def __contains__(self, key: Any) -> bool:
        if isinstance(key, InclusionNode):
            return key in self._own  # The template that it has found, to be searched for anew.
        if self._number(key) not in self.begun:
            self._look(key)
        return key in self._held

    def __getitem__(self, key: Any) -> Any:
        if isinstance(key, InclusionNode):
            return self._own[key]
        number = self._number(key)
        if number in self.begun:
            self.begun[number] += 1
        else:
            self._look(key)
        return self._held[key]

    def __setitem__(self, key: Any, value: Any) -> None:
        if isinstance(key, InclusionNode):
            self._own[key] = value
            return
        number = self._number(key)
        if number is None:
            self._refuse(key)
        else:
            if number not in self.begun:
                self._look(key)
            self.begun[number] = 0
        self._held[key] = value

    def __delitem__(self, key: Any) -> None:
        self._refuse(key)
        del self._held[key]

    def __iter__(self) -> Iterator[Any]:
        self._refuse("everything")
        return iter(self._held)

    def __len__(self) -> int:
        return len(list(iter(self)))
