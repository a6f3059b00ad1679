"""What the shapes read, cached by hand under tracked keys: see `tests.surfaces.by_hand`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from inspect import unwrap
from typing import Any

from tests.coverage_matrix import shapes
from tests.coverage_matrix.shapes import Read, runs
from tests.surfaces.by_hand import TRACKED, as_json, asked_by_hand


@dataclass(frozen=True)
class ByHand:
    """A value under a tracked key, in the place of the cached function of a shape."""

    kind: str
    shape: str

    @property
    def __name__(self) -> str:
        return self.shape

    def __call__(self, *args: Any) -> Any:
        name = f"{self.shape}, {self.kind}"
        return asked_by_hand(self.kind, name, self._read, self._count)(*args)

    def uncached(self, *args: Any) -> Any:
        return as_json(self._read(*args))

    @property
    def _read(self) -> Callable[..., Any]:
        # Without what counts the calls: here only those count in which a value is made.
        found: Callable[..., Any] = unwrap(getattr(shapes, self.shape).uncached)
        return found

    def _count(self) -> None:
        runs[self.shape] += 1


def some(reads: Sequence[Read], turn: int) -> list[Read]:
    """Return two of these reads whose turn it is, each cached in the way whose turn it is.

    What declares its tags is none of them: by hand, nobody says on what it depends.
    """
    found = [read for read in reads if read.shape != "tagged"]
    numbers = sorted({turn % len(found), (turn + len(found) // 2) % len(found)}) if found else []
    return [
        Read(ByHand(kind, found[number].shape), found[number].args, kind)
        for number in numbers
        for kind in [TRACKED[(turn // len(found) + number) % len(TRACKED)]]
    ]
