"""Counting what happens so often, and takes so little, that a lock would be a third of it."""

from itertools import count


class Tally:
    """What is added to each of the counters `names` when it is next taken."""

    __slots__ = ("_seen", "_takes", "_told", "names", "one")

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self._seen = count()
        #: Add one. A step that no other thread can come in between.
        self.one = self._seen.__next__
        self._takes = self._told = 0

    def take(self) -> int:
        """Return how many were added since this was last asked. Whoever asks holds a lock."""
        # Only by counting on does it tell how far it is.
        number = self.one() - self._takes
        self._takes += 1
        new, self._told = number - self._told, number
        return new
