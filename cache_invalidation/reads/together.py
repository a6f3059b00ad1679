"""`cached_together`: one round trip for the cached functions that a block of code asks for.

With the first of them, those are looked up that were asked for before. Only hits come of that, and
each is as valid as if it had been asked for at that moment. For whatever else happens in the block,
the protocol is followed as if there was none: see `Block.look`.
"""

import inspect
import sys
from collections.abc import Callable, Mapping
from contextvars import Token
from functools import partial, wraps
from types import MethodType
from typing import Any, Final, TypeVar, cast, overload

from django.db import connections

from cache_invalidation.connections import in_transaction
from cache_invalidation.metrics.counters import counters
from cache_invalidation.reads.decorated import is_coroutine_function
from cache_invalidation.reads.dependencies import apart, running
from cache_invalidation.reads.profiles import CALLS, Call, Given, Names, Profile, profile_of
from cache_invalidation.reads.protocol import judge, look_for_all, look_once
from cache_invalidation.reads.read import Look, Outcome, Read
from cache_invalidation.reads.spelling import dotted_name, full_name
from cache_invalidation.stores import get_store
from cache_invalidation.stores.messages import Found
from cache_invalidation.transactions.ahead import Ahead, ahead
from cache_invalidation.transactions.open_batches import is_dirty

F = TypeVar("F", bound=Callable[..., Any])

# The name of a block, and what it is run for; None if that is not known yet.
About = Callable[[], tuple[str, Given] | None]

_NOTHING: Final[Mapping[str, Found]] = {}


class Block:
    """What is asked for until it ends, and what was fetched ahead for that.

    It is of the thread or task that enters it, and of those that inherit their context from it.
    """

    def __init__(self, about: About) -> None:
        self._about = about
        self._around = running.get()
        self._outer: Ahead | None = ahead.get()
        self._token: Token[Ahead | None] | None = None
        self._names: Names | None = None
        self._profile: Profile | None = None
        self._asked: dict[Call, int | None] = {}
        self._has_looked = False
        # Once it is over, nothing is used that was fetched, even if that comes later.
        self._is_over = False
        self._fetched: Mapping[str, Found] = _NOTHING
        self._used: set[str] = set()
        # What a value must still be asked for in, to be taken from what was fetched.
        self._surroundings: tuple[Any, ...] = ()

    def __enter__(self) -> None:
        self._token = ahead.set(self)

    def __exit__(self, kind: type[BaseException] | None, *error: object) -> None:
        if self._token is not None:
            ahead.reset(self._token)
        if kind is None:
            self._learn()
        self._is_over = True
        if fetched := len(self._fetched):
            used = len(self._used)
            counters.update({"fetched_together": fetched, "fetched_in_vain": fetched - used})
        self._fetched = _NOTHING

    def _learn(self) -> None:
        if self._profile is not None and self._asked:
            self._profile.learn(dict(self._asked))  # Another thread may go on.

    def give_up(self) -> None:
        """Use nothing of what was fetched, and fetch nothing: something is being written."""
        self._is_over = True
        if self._outer is not None:
            self._outer.give_up()

    def look_of(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Look | None:
        """Return how to look for the value of a call; None if that is as everywhere else.

        What is computed in the block may be stored, and for that the protocol is followed: else
        an invalidation by name, which changes no version, could come between what was fetched and
        the lookup of what it becomes a part of.
        """
        if running.get() is not self._around:
            return None
        if self._names is None and (about := self._about()) is not None:
            name, given = about
            self._names, self._profile = Names(given), profile_of(name)
        if self._names is None:
            return None
        return partial(self.look, self._names.spell(function, args, kwargs))

    def look(self, call: Call | None, read: Read) -> Outcome:
        """Look for the value of one call, and remember that it was asked for."""
        outcome = self._look(call, read)
        if call is not None and (call in self._asked or len(self._asked) < CALLS):
            self._asked[call] = _size(read.payload) if outcome == "hits" else None
        return outcome

    def _look(self, call: Call | None, read: Read) -> Outcome:
        read.entry = read.entry or get_store().entry_place(read.key)
        if not self._has_looked:
            self._has_looked = True
            if (found := self._fetch(call, read)) is not None:
                return judge(read, found)
        elif (kept := self._found(read)) and judge(read, kept, computes=False) == "hits":
            self._used.add(read.entry)
            return "hits"
        return look_once(read)

    def _fetch(self, call: Call | None, first: Read) -> Found | None:
        """Look for all that is worth it, and return what was found for the `first`.

        None if there is nothing else.
        """
        store = get_store()
        if self._is_over or not store.looks_at_many or is_dirty():
            return None
        reads = {first.entry: first}
        for read in self._wanted(call):
            reads.setdefault(read.entry, read)
        if len(reads) == 1:
            return None
        self._surroundings = surroundings()
        found = dict(zip(reads, look_for_all(list(reads.values())), strict=True))
        self._fetched = {place: each for place, each in found.items() if place != first.entry}
        return found[first.entry]

    def _wanted(self, first: Call | None) -> list[Read]:
        """Return the reads that were worth it before, but for the `first`, which is on its way."""
        if self._profile is None or self._names is None:
            return []
        calls = [call for call in self._profile.wanted() if call != first]
        if not calls:
            return []
        with apart():  # It may never be asked for.
            found = [call.read(self._names.given) for call in calls]
        return [read for read in found if read is not None]

    def _found(self, read: Read) -> Found | None:
        """Return what was fetched for `read`, if it may be used."""
        found = None if self._is_over else self._fetched.get(read.entry)
        if found is None or not found.versions.keys() >= set(read.tags):
            return None
        # Who has begun a transaction since, with a lock perhaps, wants to know what is true now.
        return found if self._surroundings == surroundings() else None


def surroundings() -> tuple[Any, ...]:
    """Return the store, and the blocks of the transactions that this thread is in."""
    opened = [each for each in connections.all(initialized_only=True) if in_transaction(each)]
    return get_store(), [(each.alias, *each.atomic_blocks) for each in opened]


def _size(payload: Any) -> int:
    return len(payload) if isinstance(payload, bytes) else 0


def look_of(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Look | None:
    """Return how to look for the value of a call in the block that is open; None as ever.

    What is kept near needs no round trip.
    """
    block = ahead.get()
    if function.near or not isinstance(block, Block):
        return None
    return block.look_of(function, args, kwargs)


class Together:
    """What `cached_together` returns: a block, as often as it is entered, and a decorator."""

    def __init__(self, name: str | None, place: str, arguments: Given) -> None:
        self._name = name
        self._place = place
        self._arguments = arguments

    def __enter__(self) -> None:
        about = self._name or self._place, self._arguments
        Block(lambda: about).__enter__()

    def __exit__(self, *error: Any) -> None:
        cast(Block, ahead.get()).__exit__(*error)

    def __call__(self, function: F) -> F:
        """Return the function, or coroutine function, with such a block around each call."""
        if isinstance(function, type):
            raise TypeError(
                f"cached_together() decorates functions, and {full_name(function)} is a class: "
                "decorate what as_view() returns, or a method."
            )
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise TypeError(
                f"cached_together() does not decorate {full_name(function)}(), which yields: the "
                "block would end before anything is read. Write the block inside of it."
            )
        name = self._name or _name_of(function)

        def block_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Block:
            given = {str(number): value for number, value in enumerate(args)}
            return Block(lambda: (name, {**given, **kwargs, **self._arguments}))

        if is_coroutine_function(function):

            @wraps(function)
            async def arun(*args: Any, **kwargs: Any) -> Any:
                with block_of(args, kwargs):
                    return await function(*args, **kwargs)

            return cast(F, arun)

        @wraps(function)
        def run(*args: Any, **kwargs: Any) -> Any:
            with block_of(args, kwargs):
                return function(*args, **kwargs)

        return cast(F, run)


def _name_of(function: Any) -> str:
    """Return the name of a function, a method of an object, or of the class that a view is."""
    while isinstance(function, partial):
        function = function.func
    if isinstance(function, MethodType):
        owner: Any = function.__self__
        kind = owner if isinstance(owner, type) else type(owner)
        return f"{full_name(kind)}.{function.__name__}"
    name = dotted_name(getattr(function, "view_class", getattr(function, "cls", function)))
    actions = getattr(function, "actions", None)  # Of a set of views of REST framework.
    return f"{name} {sorted(actions.values())}" if actions else name


@overload
def cached_together(function: F, /) -> F: ...
@overload
def cached_together(name: str | None = None, /, **arguments: Any) -> Together: ...
def cached_together(name: Any = None, /, **arguments: Any) -> Any:
    """Have the cached functions that a block of code asks for looked up in one round trip.

    A context manager, in coroutines as well, and a decorator of views and other functions. What is
    asked for is remembered by `name`, which is that of the function or place in the code if left
    out. With the first cached function that is called in the block, those are fetched that were
    found in the cache the last two times. A call is remembered with its arguments, as long as they
    are numbers, text, dates, UUIDs, booleans or None; where one is the same as one of the
    function's own, or of `arguments`, whatever that is the next time takes its place.

    **Each value is valid as of that round trip**, and not as of the call that returns it: what is
    committed elsewhere in between may not be in it. It is never older than the block. What this
    thread or task has begun to write since, the beginning of a transaction, a cached function that
    is computed, and the end of the block end that: from then on, and in there, all is as without.

    On Redis and Valkey; on other caches it changes nothing. Raises `TypeError` for what cannot be
    decorated.
    """
    if callable(name):
        return Together(None, "", {})(name)
    if name is not None and not isinstance(name, str):
        raise TypeError(f"cached_together() takes a name, not {name!r}.")
    caller = sys._getframe(1)
    place = f"{caller.f_globals.get('__name__')}.{caller.f_code.co_qualname}:{caller.f_lineno}"
    return Together(name, place, arguments)
