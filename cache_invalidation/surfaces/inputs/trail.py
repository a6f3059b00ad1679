"""From a shape to an entry: the chain of inputs that computations have looked at.

Under the shape, with what is always an input, stands either an entry or a *step*: the names of
inputs that every computation was found to look at next. Under the digest of their names and values
stands again an entry or a step, three at most. So what one visitor's page looks at does not make
everybody's page vary.

This is right whatever a process knows of it: an entry was made by a computation that looked at
nothing but the inputs on its way. Who has the same values for these takes the same way through the
code and gets the same. So any step may be lost or out of date, which costs a miss.
"""

from base64 import urlsafe_b64encode
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, NamedTuple

from cache_invalidation.reads import varying
from cache_invalidation.reads.dependencies import apart
from cache_invalidation.reads.protocol import look_once
from cache_invalidation.reads.read import Outcome, Read
from cache_invalidation.surfaces.inputs.inputs import Inputs

LONGEST: Final = 3  # steps
REMEMBERED: Final = 10_000  # steps that a process remembers

#: What the names of inputs begin with that cached functions inside vary on. They are the same for
#: all that is cached: ``varies.shop.tenants.current`` is what that function returns.
VARIES: Final = "varies."


@dataclass(frozen=True, slots=True)
class Step:
    """The names of the inputs to look at next."""

    names: tuple[str, ...]


#: The steps that this process has met, by the key that they are at.
steps: dict[str, Step] = {}


def remember(key: str, step: Step) -> None:
    """Know for the next lookup that `step` is at `key`."""
    if len(steps) >= REMEMBERED:
        steps.clear()
    steps[key] = step


class Place(NamedTuple):
    """Where something is, and by which inputs one came there from the place before."""

    key: str
    by: Mapping[str, str]


class Trail:
    """The way of one lookup.

    `always` is what is an input in any case, as text. `current` returns the portrait of an input
    as it is now; it raises `Opaque` if there is none, and whatever evaluating it raises.
    """

    def __init__(self, shape: str, always: str, current: Callable[[str], str]) -> None:
        self._shape = shape
        self._current = current
        self._places = [Place(self._key(always), {})]

    @property
    def key(self) -> str:
        """Where the trail has come to."""
        return self._places[-1].key

    def varied(self) -> dict[str, str]:
        """Return what on the way is what cached functions inside vary on, by their names for it."""
        return {
            name.removeprefix(VARIES): value
            for place in self._places
            for name, value in place.by.items()
            if name.startswith(VARIES)
        }

    def look(self, read: Read) -> Outcome:
        """Look for the entry of `read` at the end of the trail, as `protocol.look` does.

        By the steps that this process remembers, that is one round trip. If nothing is there, by
        those in the store, since others may have learned more.
        """
        del self._places[1:]
        while self._advance(steps.get(self.key)):
            pass
        outcome = self._look_here(read)
        if outcome == "misses" and len(self._places) > 1:
            del self._places[1:]
            outcome = self._look_here(read)
        while isinstance(read.value, Step) and read.is_hit:
            remember(self.key, read.value)
            if not self._advance(read.value):
                read.is_hit, read.value = False, None
                return "misses"
            outcome = self._look_here(read)
        return outcome

    def _look_here(self, read: Read) -> Outcome:
        read.key, read.entry, read.is_hit, read.value = self.key, "", False, None
        read.absence = None
        return look_once(read)

    def _advance(self, step: Step | None) -> bool:
        """Go to where `step` leads; return whether that was possible."""
        if step is None or len(self._places) > LONGEST:
            return False
        try:
            with apart():
                by = {name: self._now(name) for name in step.names}
        except Exception:  # noqa: BLE001 - Opaque, or the project's own, for those who look at it
            return False
        self._go(by)
        return True

    def _now(self, name: str) -> str:
        if name.startswith(VARIES):
            return varying.current(name.removeprefix(VARIES))
        return self._current(name)

    def _go(self, by: Mapping[str, str]) -> None:
        # With the lengths, so that no value can look like the next input.
        said = "\n".join([f"{name}={len(value)}:{value}" for name, value in by.items()])
        self._places.append(Place(self._key(f"{self.key}\n{said}"), by))

    def _key(self, said: str) -> str:
        return f"{self._shape}:{digest(said)}"

    def lead_to(self, inputs: Inputs) -> list[tuple[str, Step]]:
        """Have the trail end where a value that has looked at `inputs` belongs.

        Return the steps that are to be stored for that, with their keys. If an input on the way
        was not what it is in `inputs`, that is one more refusal.
        """
        seen = inputs.seen
        for place in self._places:
            if any(seen.get(name, value) != value for name, value in place.by.items()):
                inputs.refuse("changed", "an input has changed meanwhile")
                return []
        changed = self._shorten(seen)
        walked = {name for place in self._places for name in place.by}
        further = {name: value for name, value in seen.items() if name not in walked}
        if further and len(self._places) > LONGEST:
            further = {**self._places.pop().by, **further}
        if further:
            changed.append((self.key, self._step(tuple(further))))
            self._go(further)
        return changed

    def _shorten(self, seen: Mapping[str, str]) -> list[tuple[str, Step]]:
        """End the trail at the first step that names what was not looked at, and name less there.

        It is the way that all computations share; what not all of them look at comes later. The
        last step names whatever any of them has looked at.
        """
        for index, place in enumerate(self._places[1:LONGEST], 1):
            used = {name: value for name, value in place.by.items() if name in seen}
            if used and len(used) < len(place.by):
                del self._places[index:]
                step = self._step(tuple(used))
                changed = [(self.key, step)]
                self._go(used)
                return changed
        return []

    def _step(self, names: tuple[str, ...]) -> Step:
        step = Step(names)
        remember(self.key, step)
        return step


def digest(said: str) -> str:
    """Return 16 characters that stand for `said`."""
    found = blake2b(said.encode(errors="surrogatepass"), digest_size=12).digest()
    return urlsafe_b64encode(found).decode()
