"""What came of a soak, as a verdict and as text."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.near.soak.course import Tally


@dataclass(slots=True, kw_only=True)
class Report:
    """Everything in it was counted.

    A read is stale if it returned a value older than one whose writer had control back before the
    read began. `left` are values that were old when nobody wrote any more, and all had settled.
    """

    seconds: float = 0.0
    reads: int = 0
    near: int = 0
    misses: int = 0
    writes: int = 0
    stale: int = 0
    left: int = 0
    failed: int = 0
    troubles: Counter[str] = field(default_factory=Counter)
    remarks: list[str] = field(default_factory=list)

    def add(self, tally: Tally) -> None:
        """Count what one process has counted."""
        for name in ("reads", "near", "misses", "writes", "stale", "left", "failed"):
            setattr(self, name, getattr(self, name) + getattr(tally, name))

    @property
    def is_right(self) -> bool:
        """Whether nobody was told an old value or would be now, and nothing failed."""
        return not (self.stale or self.left or self.failed)

    def line(self) -> str:
        """Return the sums in one line."""
        return (
            f"{self.seconds:,.0f} s, {sum(self.troubles.values())} troubles: "
            f"{self.reads:,} reads ({self.near:,} near, {self.misses:,} misses), "
            f"{self.writes:,} writes, {self.failed} failed; "
            f"{self.stale:,} stale, {self.left} left stale"
        )

    def lines(self) -> Iterator[str]:
        """Yield how often there was which trouble, and what there is to remark."""
        width = max(map(len, self.troubles), default=0)
        for name, times in self.troubles.items():
            yield f"{name.ljust(width)}  {times:5}"
        yield from self.remarks
