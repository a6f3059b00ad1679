"""What every test of an outage needs."""

from tests.outages import use

__all__ = ["use"]
