"""What every method of a store does when the store fails, or is known to be down."""

from collections.abc import Callable
from functools import wraps
from time import monotonic
from typing import TYPE_CHECKING, Concatenate, ParamSpec, TypeVar

from cache_invalidation.exceptions import StoreRefused, StoreUnavailable
from cache_invalidation.stores.breaker import State

if TYPE_CHECKING:
    from cache_invalidation.stores.base import Store

S = TypeVar("S", bound="Store")
P = ParamSpec("P")
R = TypeVar("R")


def guarded(
    *errors: type[BaseException], urgent: bool = False
) -> Callable[[Callable[Concatenate[S, P], R]], Callable[Concatenate[S, P], R]]:
    """Make a method of a store raise `StoreUnavailable` for `errors`, and ask the breaker first.

    For what is a refusal, that is `StoreRefused`.

    What is `urgent` goes on as soon as a store that was down answers again.
    """

    def decorate(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
        @wraps(method)
        def call(self: S, /, *args: P.args, **kwargs: P.kwargs) -> R:
            breaker = self.breaker
            if breaker.state is not State.WORKING and not self.admits(urgent=urgent):
                self.recovery.begin()
                raise StoreUnavailable(breaker.reason)
            outages, begun = breaker.outages, monotonic()
            try:
                return method(self, *args, **kwargs)
            except StoreUnavailable:
                raise
            except errors as error:
                text = f"{type(error).__name__}: {error}"
                if isinstance(error, self.refusals):
                    breaker.refused(error)
                    raise StoreRefused(text) from error
                breaker.failed(error, outages)
                self.recovery.begin(begun)
                raise StoreUnavailable(text) from error

        return call

    return decorate
