"""What every test of the outbox needs."""

from tests.outages import down, up, use

__all__ = ["down", "up", "use"]
