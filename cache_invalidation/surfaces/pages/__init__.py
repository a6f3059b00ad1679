"""Pages: what a view has looked at of its request, and whether its response may be kept."""
