"""Everything this package raises on purpose."""

from django.core.exceptions import ImproperlyConfigured
from django.db import DatabaseError


class CacheInvalidationError(Exception):
    """Base class of the errors below, for callers that want to catch them all."""


class StoreUnavailable(CacheInvalidationError):
    """The store did not answer, answered nonsense, or is being left alone after it did."""


class StoreRefused(StoreUnavailable):
    """The store answers, and does not do this one thing: nothing is wrong with the others."""


class PatternsNotSupported(CacheInvalidationError):
    """The cache cannot list its keys, so nothing can be deleted by pattern."""


class AlreadyRegistered(CacheInvalidationError):
    """The model has this very rule already."""


class NotRegistered(CacheInvalidationError):
    """The model has no rule, or not this one, that could be removed."""


class TemplateError(CacheInvalidationError, ValueError):
    """A tag, key or pattern template cannot be understood."""


class InvalidSetting(CacheInvalidationError, ImproperlyConfigured):
    """A value in ``settings.CACHE_INVALIDATION`` has the wrong type or is out of range."""


class InvalidationAborted(CacheInvalidationError, DatabaseError):
    """The fence of a transaction could not be raised, so the transaction was rolled back.

    Only where ``ON_STORE_FAILURE`` is ``"abort"``.
    """


class UnstorableValue(CacheInvalidationError, TypeError):
    """A cached function has returned what the cache cannot keep. Raised under ``DEBUG`` only."""


class CacheDependencyWarning(UserWarning):
    """A cached function reads rows whose changes do not reach it."""


class UndeclaredRead(CacheInvalidationError):
    """The same as an error, where ``UNDECLARED_READS`` is ``"error"``."""
