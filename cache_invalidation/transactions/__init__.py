"""What the open transactions of this thread have written, and what they can see."""
