"""Functions that make keys as a project with tenants might, and those who are served."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from hashlib import sha256
from typing import Any

from django.core.cache.backends.locmem import LocMemCache
from django_redis.cache import RedisCache

tenant: ContextVar[str] = ContextVar("tenant")


def by_tenant(key: str, prefix: str, version: int) -> str:
    """Fail, as a project's function may, where nobody has said who is served."""
    return f"{tenant.get()}:{prefix}:{version}:{key}"


def bare(key: str, prefix: str, version: int) -> str:
    return f"{tenant.get()}.{key}"


def with_hash_tag(key: str, prefix: str, version: int) -> str:
    return f"{prefix}:{version}:{{{tenant.get()}}}:{key}"


def hashed(key: str, prefix: str, version: int) -> str:
    return sha256(f"{tenant.get()}:{prefix}:{version}:{key}".encode()).hexdigest()


class TenantsRedisCache(RedisCache):
    """One whose prefix hinges on who is served, without a function of its own."""

    key_prefix: Any = property(lambda self: tenant.get(), lambda self, value: None)


class TenantsLocMemCache(LocMemCache):
    def make_key(self, key: str, version: int | None = None) -> str:
        return f"{tenant.get()}/{super().make_key(key, version)}"


@contextmanager
def serving(name: str) -> Iterator[None]:
    token = tenant.set(name)
    try:
        yield
    finally:
        tenant.reset(token)
