"""What else is cached with the protocol of `reads`: pages, template blocks, REST responses."""
