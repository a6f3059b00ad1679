"""How much one request may ask for."""

from typing import Final

MAX_BODY: Final = 1024 * 1024  # bytes
MAX_NAMES: Final = 1000  # tags, and as many keys, and as many patterns
MAX_ENTITIES: Final = 100  # each of which is a query
MAX_REASON: Final = 1000  # characters
MAX_IDEMPOTENCY_KEY: Final = 128  # characters

PAGE: Final = 50  # rows of the outbox, unless the client says otherwise
MAX_PAGE: Final = 500
TARGETS_SHOWN: Final = 100  # of each kind, for each row of the outbox
