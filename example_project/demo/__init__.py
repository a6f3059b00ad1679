"""What this app does, in a terminal, on real data: ``python -m example_project.demo``."""
