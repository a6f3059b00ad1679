"""From a batch to the store: fences around COMMIT, sending, the outbox."""
