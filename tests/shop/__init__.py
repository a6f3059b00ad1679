"""A small shop whose pages look at everything that pages look at."""
