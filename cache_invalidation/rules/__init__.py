"""What depends on what: declarations, the registry, and what a change makes stale."""
