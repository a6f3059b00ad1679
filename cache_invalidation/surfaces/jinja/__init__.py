"""Blocks of Jinja2 templates. What is around them is not watched, but read in their source."""
