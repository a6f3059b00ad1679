"""What becomes of the costs where there is more: of entries, readers, dependents, bytes."""
