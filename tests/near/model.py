"""The protocol of near values, as a model: what stands in the store, and each step that changes it.

One tag, one entry, several processes that hold it. That of a tracked key is set anew under the
version that there is. What a script does is one function here, from the state of the store to an
answer and the next state; `test_scripts` compares each of them with the real one. Nothing in the
store tells the time: who waits for a lease does so by his own clock.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

Holder = tuple[int, int]  # the process, and how often it has joined before
Item = tuple[int, str]  # the stamp of an invalidation, and the token of the fence it is for


class Store(NamedTuple):
    """What is in the store.

    `version` is a number, or the tokens of the writers in flight. `entry` is the version it was
    stored under and the value. The `epoch` is a number, negative while it is young, 0 if there is
    none. `holders` have a stamp each, the last that they were given; `register` is who holds the
    tag, since which stamp.
    """

    version: int | frozenset[str] | None = None
    entry: tuple[int, int] | None = None
    epoch: int = 0
    epochs: int = 0
    holders: tuple[tuple[Holder, int], ...] = ()
    register: tuple[tuple[Holder, int], ...] = ()
    queues: tuple[tuple[Holder, tuple[Item, ...]], ...] = ()
    answers: tuple[tuple[str, frozenset[tuple[Holder, int]]], ...] = ()


class Told(NamedTuple):
    """Whom a fence has told, by which stamp; in a young `epoch`, others may hold it as well."""

    holders: tuple[tuple[Holder, int], ...] = ()
    epoch: int = 0


def put(items: Iterable[tuple[Any, Any]], key: Any, value: Any) -> tuple[tuple[Any, Any], ...]:
    """Return `items` with `value` under `key`; without it, if that is None."""
    changed = {**dict(items), key: value}
    if value is None:
        del changed[key]
    return tuple(sorted(changed.items(), key=lambda item: item[0]))


class Rules:
    """The steps as they are meant. A sabotage leaves one rule out."""

    # Does a fence leave the register as it is?
    keeps_register = True
    # Does each writer queue an invalidation of his own?
    queues_each = True
    # Is a lease refused to who has not answered?
    waits_for_answers = True
    # Does an answer leave what was registered after the fence?
    minds_stamps = True
    # Does a fence that finds no epoch wait for everybody?
    minds_epochs = True
    # And one that finds a young one?
    minds_youth = True
    # Is a holder whom nobody knows refused?
    refuses_strangers = True
    # Does a delivery tell those who came while its fence was lost?
    tells_again = True
    # And everybody, if its writer does not know whom the fence has told?
    tells_if_blind = True
    # Is the epoch of a server that has become another young?
    renews_epoch = True
    # Does who sets a value tell those who keep the one before?
    tells_of_values = True
    # Is who is registered found where he is?
    registers_at_once = True

    def join(self, store: Store, holder: Holder) -> tuple[None, Store]:
        store = self._with_epoch(store)
        return None, store._replace(holders=put(store.holders, holder, 0))

    def _with_epoch(self, store: Store) -> Store:
        if store.epoch:
            return store
        return store._replace(epoch=-(store.epochs + 1), epochs=store.epochs + 1)

    def renew(
        self, store: Store, holder: Holder, confirmed: int, given_up: int = 0
    ) -> tuple[tuple[bool, tuple[Item, ...]] | None, Store]:
        """Return whether the lease is renewed, and what is to be confirmed first; None: unknown."""
        if holder not in dict(store.holders):
            if self.refuses_strangers:
                return None, store
            store = store._replace(holders=put(store.holders, holder, 0))
        store = self._with_epoch(store)
        since = dict(store.register).get(holder)
        left = []
        answers = store.answers
        for stamp, token in dict(store.queues).get(holder, ()):
            if stamp > confirmed:
                left.append((stamp, token))
                continue
            answers = self._answered(answers, token, holder, stamp)
            if since is not None and (since < stamp or not self.minds_stamps):
                since = None
        if since is not None and since <= given_up:
            since = None
        store = store._replace(
            register=put(store.register, holder, since),
            queues=put(store.queues, holder, tuple(left) or None),
            answers=answers,
        )
        return (not left or not self.waits_for_answers, tuple(left)), store

    def _answered(self, answers: Any, token: str, holder: Holder, stamp: int) -> Any:
        return put(answers, token, dict(answers).get(token, frozenset()) | {(holder, stamp)})

    def leave(self, store: Store, holder: Holder) -> tuple[None, Store]:
        """Who keeps nothing any more has answered everything."""
        answers = store.answers
        for stamp, token in dict(store.queues).get(holder, ()):
            answers = self._answered(answers, token, holder, stamp)
        return None, self._without(store._replace(answers=answers), holder)

    def _without(self, store: Store, holder: Holder) -> Store:
        return store._replace(
            holders=put(store.holders, holder, None), queues=put(store.queues, holder, None)
        )

    def look(self, store: Store, holder: Holder | None) -> tuple[tuple[Any, ...], Store]:
        """Return the value if it is valid, the version, and the stamp of being registered."""
        version, entry = store.version, store.entry
        value = entry[1] if entry is not None and entry[0] == version else None
        if entry is None or not isinstance(version, int):
            return (value, version, 0), store
        stamp, store = self.registered(store, holder)
        return (value, version, stamp), store

    def registered(self, store: Store, holder: Holder | None) -> tuple[int, Store]:
        stamps = dict(store.holders)
        if holder is None or holder not in stamps:
            return 0, store
        stamp = stamps[holder] + 1
        holders = put(store.holders, holder, stamp)
        if self.registers_at_once:
            store = store._replace(register=put(store.register, holder, stamp))
        return stamp, store._replace(holders=holders)

    def register(self, store: Store, holder: Holder, stamp: int) -> tuple[None, Store]:
        """Only for a sabotage: register in a step of its own."""
        return None, store._replace(register=put(store.register, holder, stamp))

    def mint(self, store: Store, version: int) -> tuple[int | frozenset[str], Store]:
        if store.version is None:
            return version, store._replace(version=version)
        return store.version, store

    def fill(
        self, store: Store, holder: Holder | None, version: int, value: int
    ) -> tuple[int | None, Store]:
        """Return the stamp of being registered, None if it was not stored."""
        if store.version != version:
            return None, store
        return self.registered(store._replace(entry=(version, value)), holder)

    def overwrite(
        self, store: Store, token: str, holder: Holder | None, version: int, value: int
    ) -> tuple[tuple[Told, int], Store]:
        """Put another value under the version there is; return who is told, and a stamp for it."""
        told = Told()
        if self.tells_of_values:
            told, store = self._tell(store, token)
        stamp, store = self.registered(store._replace(entry=(version, value)), holder)
        return (told, stamp), store

    def tell(self, store: Store, token: str) -> tuple[Told, Store]:
        """Only for a sabotage: tell of a value in a step of its own."""
        return self._tell(store, token)

    def fence(self, store: Store, token: str) -> tuple[Told, Store]:
        told, store = self._tell(store, token)
        fenced = store.version if isinstance(store.version, frozenset) else frozenset()
        return told, store._replace(version=fenced | {token})

    def _tell(self, store: Store, token: str) -> tuple[Told, Store]:
        minded = self.minds_youth if store.epoch else self.minds_epochs
        store = self._with_epoch(store)
        young = -store.epoch if store.epoch < 0 and minded else 0
        told = []
        for holder, _ in store.register:
            stamps = dict(store.holders)
            if holder not in stamps:
                store = store._replace(register=put(store.register, holder, None))
                continue
            queue = dict(store.queues).get(holder, ())
            if queue and not self.queues_each:
                continue
            stamp = stamps[holder] + 1
            told.append((holder, stamp))
            store = store._replace(
                holders=put(store.holders, holder, stamp),
                queues=put(store.queues, holder, (*queue, (stamp, token))),
            )
        if not self.keeps_register:
            store = store._replace(register=())
        return Told(tuple(told), young), store

    def lift(self, store: Store, token: str, is_blind: bool = False) -> tuple[Told, Store]:
        """Deliver: lift the fence; if it is gone, tell those who came meanwhile.

        Who `is_blind` does not know whom the fence has told.
        """
        fenced = store.version if isinstance(store.version, frozenset) else frozenset()
        told = Told()
        is_gone = token not in fenced and self.tells_again
        if is_gone or (is_blind and self.tells_if_blind):
            told, store = self._tell(store, token)
        return told, store._replace(version=(fenced - {token}) or None)

    def bury(self, store: Store, holder: Holder, stamp: int) -> tuple[bool, Store]:
        """Forget a holder who was waited for in vain: he has not renewed since that stamp."""
        queue = dict(store.queues).get(holder, ())
        if not queue or queue[0][0] > stamp:
            return False, store
        return True, self._without(store, holder)

    def bury_silent(self, store: Store, holder: Holder) -> tuple[bool, Store]:
        """Forget a holder who has not renewed for a whole lease, as others have seen."""
        return True, self._without(store, holder)

    def lapse(self, store: Store) -> tuple[None, Store]:
        """All fences are over before their writers have delivered."""
        return None, store._replace(version=None)

    def identify(self, store: Store) -> tuple[None, Store]:
        """The server has become another, whatever is left of what it held."""
        if not store.epoch:
            return None, store
        store = store._replace(holders=())
        if self.renews_epoch:
            number = store.epochs + 1
            store = store._replace(epoch=-number, epochs=number)
        return None, store

    def settle(self, store: Store, epoch: int) -> tuple[None, Store]:
        """Whoever has waited for a whole lease since the epoch was young says that it is not."""
        return None, store._replace(epoch=epoch) if store.epoch == -epoch else store


Step = Callable[..., tuple[Any, Store]]
