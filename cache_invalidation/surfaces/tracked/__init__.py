"""Keys of the project itself: what is kept under them is sealed like all that is cached."""
