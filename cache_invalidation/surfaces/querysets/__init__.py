"""Querysets whose rows are kept, and queries that are cached by themselves."""
