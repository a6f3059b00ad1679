"""Readers and writers on the same rows, in processes of their own, and a count of what is stale."""
