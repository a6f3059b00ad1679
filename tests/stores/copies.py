"""Many entries from one, without computing each of them."""

from typing import Any, Final

AT_ONCE: Final = 50_000  # few enough for the server not to be taken for one that hangs

_COPY: Final = """
local value = redis.call('GET', KEYS[1])
for number = ARGV[1], ARGV[2] do
  redis.call('SET', KEYS[1] .. string.format('%d', number), value)
end
"""


def copy(client: Any, place: str, number: int, *, after: int = 0) -> None:
    """Put what is at `place` also there with 1 to `number` at the end of the name.

    The first of them, up to `after`, are there.
    """
    for first in range(after + 1, number + 1, AT_ONCE):
        client.eval(_COPY, 1, place, first, min(number, first + AT_ONCE - 1))
