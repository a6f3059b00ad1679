"""Whom a writer has told, and how long it has to wait for them."""

import json
from collections.abc import Collection, Iterable, Mapping
from math import inf
from time import monotonic
from types import MappingProxyType
from typing import Final, NamedTuple

#: Seconds of a lease of somebody of whom nothing is known.
LONGEST: Final = 0.25


class Told(NamedTuple):
    """Whom a fence has told, by which stamp; all of them at the moment `at`, or earlier.

    With an `epoch`, there may be others that the server does not know of.
    """

    holders: Mapping[str, int] = MappingProxyType({})
    epoch: str = ""
    at: float = 0.0  # by the monotonic clock

    def __bool__(self) -> bool:
        return bool(self.holders or self.epoch)

    def without(self, holders: Collection[str]) -> "Told":
        """Return the same without some, who need not be waited for."""
        return self._replace(holders={n: s for n, s in self.holders.items() if n not in holders})

    def heard(self, answers: Iterable[bytes]) -> "Told":
        """Return the same without those who have answered; what they were told before is no answer.

        An answer is the stamp of what was dropped, by whom, and the names of it if he knows them.
        """
        parts = (answer.decode().split(" ", 2) for answer in answers)
        return self.without({n for s, n, *_ in parts if int(s) >= self.holders.get(n, inf)})

    def merged(self, later: "Told") -> "Told":
        """Return whom both have told."""
        if not (self and later):
            return later or self
        return Told({**self.holders, **later.holders}, later.epoch or self.epoch, later.at)


NOBODY: Final = Told()


def names_in(answers: Iterable[bytes]) -> set[str]:
    """Return the names of what was dropped by those who have answered."""
    said = (answer.split(b" ", 2)[2:] for answer in answers)
    return {name for names in said for text in names for name in json.loads(text)}


def holder_name(token: str, seconds: float) -> str:
    """Return a name for a holder whose leases last so long, which a writer can tell from it."""
    return f"{token}.{round(seconds * 1000)}"


def lease_of(holder: str) -> float:
    """Return the seconds that a lease of `holder` lasts."""
    return int(holder.rpartition(".")[2]) / 1000


def told_by(answers: list[list[bytes | int]]) -> Told:
    """Return whom the scripts of a fence, which have just answered, have told."""
    holders: dict[str, int] = {}
    epoch = ""
    for answer in answers:
        if answer:
            young, *pairs = answer
            epoch = bytes(young).decode() or epoch
            names = (bytes(name).decode() for name in pairs[::2])
            holders.update(zip(names, map(int, pairs[1::2]), strict=True))
    return Told(holders, epoch, monotonic()) if holders or epoch else NOBODY
