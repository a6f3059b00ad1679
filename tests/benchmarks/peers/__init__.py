"""Other packages that cache querysets, each in a process of its own: they all change Django."""
