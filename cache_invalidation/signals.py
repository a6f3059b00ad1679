"""Signals for observers. The core never names who listens, and a failing one changes nothing.

What a receiver writes is invalidated as well, and not announced.
"""

from django.dispatch import Signal

#: Sent once for each delivered batch, with `invalidation` (an `Invalidation`), `entities` (counts
#: by entity type), `using` (database alias) and `duration` (seconds the delivery took).
invalidated = Signal()

#: Sent once for each batch, or part of one, that could not be delivered, with `invalidation`,
#: `using` and `error`.
invalidation_failed = Signal()
