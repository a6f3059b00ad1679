"""Blocks of templates: what they are rendered to, cached with what they read and look at."""
