"""Every interleaving of writers on one row and processes that hold its value near.

A world is what stands in the store, the number that the database has committed, and where each
actor is. From each world every actor that can take a step does. Time is what the protocol needs of
it: a lease that was granted before a fence is over before the writer of that fence has waited for
one. So each lease carries the fences that came after it, and may run out at any time; a process
that is stopped, or has lost its connection, is one that takes no step meanwhile.

What is asked of every world: no process that answers alone returns what is older than the last
write whose writer has control again; and once nobody writes any more and all have caught up, none
keeps what is not committed.

Where it `overwrites`, a writer drops nothing, and sets the next value of a tracked key instead.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from tests.near.model import Holder, Item, Rules, Store, Told

TOKENS = ("a", "b")

Grant = frozenset[str]  # the fences that came after a lease was granted


class Thread(NamedTuple):
    """One read of the entry: idle, looked, sampled, queried, filled, registering, done."""

    at: str = "idle"
    version: int = 0
    value: int = -1
    stamp: int = 0
    ident: int = 0


class Process(NamedTuple):
    """A process that holds what it reads. `answer` is that of the store, on its way to it."""

    ident: int = 0
    joined: int = 0
    lease: Grant | None = None
    answer: tuple[str, Any] | None = None
    seen: int = 0  # the stamp up to which it has dropped what it was told of
    floor: int = 0  # up to which it keeps nothing that was looked up
    memory: tuple[int, int, int] | None = None  # value, stamp, and the name it was kept under
    given_up: int = 0
    evicts: int = 0
    leaves: int = 0
    killed: bool = False
    threads: tuple[Thread, ...] = ()


class Writer(NamedTuple):
    """start, fenced, committed, delivered, done; or crashed.

    Who `is_blind` has not got the answer to its fence.
    """

    at: str = "start"
    told: tuple[tuple[Holder, int], ...] = ()
    epoch: int = 0
    is_blind: bool = False


class World(NamedTuple):
    store: Store
    number: int
    processes: tuple[Process, ...]
    writers: tuple[Writer, ...]
    returned: int = 0
    # How often the store, a writer, a process, fences, the answer to a fence may still be lost; and
    # who has not renewed be buried.
    losses: int = 0
    crashes: int = 0
    kills: int = 0
    lapses: int = 0
    blinds: int = 0
    burials: int = 0
    was_lost: bool = False


class Stale(AssertionError):
    """What the protocol is there to prevent."""


def with_(items: tuple[Any, ...], index: int, item: Any) -> tuple[Any, ...]:
    return (*items[:index], item, *items[index + 1 :])


@dataclass
class Explorer:
    """Walks through all worlds that can be reached; raises `Stale` for one that must not be."""

    rules: Rules = field(default_factory=Rules)
    # Sabotages of what a process and a writer do by themselves.
    answers_without_lease: bool = False
    keeps_after_joining: bool = False
    puts_blindly: bool = False
    counts_from_answer: bool = False
    writers_wait: bool = True
    keeps_what_is_not_registered: bool = False
    evicts_silently: bool = False
    takes_old_answers: bool = False
    drops_own: bool = True
    leaves_before_forgetting: bool = False
    buries_the_living: bool = False
    tells_before: bool = False
    overwrites: bool = False
    worlds: int = 0
    steps: dict[Any, Any] = field(default_factory=dict)
    own: int | None = None

    def run(self, processes: tuple[int, ...] = (1, 1), writers: int = 2, **further: Any) -> int:
        """Explore everything that can come of a world; return the number of worlds.

        See `first`.
        """
        first = self.first(processes, writers, **further)
        # Their hashes are kept alone: millions of worlds would not fit into memory.
        seen, queue = {hash(first)}, [first]
        while queue:
            world = queue.pop()
            self.worlds += 1
            for successor in map(self.canonical, self.successors(world)):
                known = len(seen)
                seen.add(hash(successor))
                if len(seen) > known:
                    self.probe(successor)
                    queue.append(successor)
        return self.worlds

    def first(
        self,
        processes: tuple[int, ...] = (1, 1),
        writers: int = 2,
        *,
        evicts: int = 0,
        leaves: int = 0,
        own: int | None = None,
        overwrite: bool = False,
        **lost: Any,
    ) -> World:
        """Return the world with so many threads in each process, in which nothing has happened.

        `own` is the process in which the writers are, if it is one of these. Those that `overwrite`
        set values. What may be `lost`, and how often, is as in `World`.
        """
        self.own, self.overwrites = own, overwrite
        made = tuple(
            Process(threads=(Thread(),) * threads, evicts=evicts, leaves=leaves)
            for threads in processes
        )
        store = Store(version=1, entry=(1, 0), epoch=1, epochs=1)
        return World(store, 0, made, (Writer(),) * writers, **lost)

    # What is asked of a world

    def answers(self, process: Process) -> int | None:
        """Return what the process returns without asking anybody, if it does."""
        if process.killed or process.memory is None:
            return None
        value, _, ident = process.memory
        if ident != process.ident and not self.keeps_after_joining:
            return None
        return value if process.lease is not None or self.answers_without_lease else None

    def probe(self, world: World) -> None:
        for process in world.processes:
            value = self.answers(process)
            if value is not None and value < world.returned:
                raise Stale(f"{value} after {world.returned} had returned: {world}")
        if all(writer.at in ("done", "crashed") for writer in world.writers):
            self.probe_at_the_end(world)

    def probe_at_the_end(self, world: World) -> None:
        if world.was_lost and any(writer.at == "crashed" for writer in world.writers):
            return  # A writer and the store that go down at the same moment: not promised.
        store = world.store
        for index, process in enumerate(world.processes):
            if process.killed or not process.ident:
                continue
            process = self.heard(process)
            for _ in range(3):
                holder = (index, process.ident)
                answer, store = self.rules.renew(store, holder, process.seen, process.given_up)
                process = self.told(process, answer, frozenset())
            value = self.answers(process)
            if value is not None and value != world.number:
                raise Stale(f"{value} is kept, {world.number} is committed: {world}")

    # Steps

    def successors(self, world: World) -> Iterator[World]:
        for index, writer in enumerate(world.writers):
            if self.overwrites and writer.at in ("start", "told"):
                yield from self.overwrite(world, index, writer)
            else:
                yield from self.steps_of_writer(world, index, writer)
        for index, process in enumerate(world.processes):
            if not process.killed:
                yield from self.steps_of_process(world, index, process)
                for place, thread in enumerate(process.threads):
                    yield from self.steps_of_thread(world, index, process, place, thread)
        if world.losses:
            yield world._replace(
                store=Store(epochs=world.store.epochs), losses=world.losses - 1, was_lost=True
            )
            _, store = self.take("identify", world.store)
            yield world._replace(store=store, losses=world.losses - 1, was_lost=True)
        if world.lapses and isinstance(world.store.version, frozenset):
            _, store = self.take("lapse", world.store)
            yield world._replace(store=store, lapses=world.lapses - 1)

    def take(self, name: str, store: Store, *args: Any) -> tuple[Any, Store]:
        """Take a step of the store; the same one on the same content always ends the same."""
        key = (name, store, args)
        if key not in self.steps:
            self.steps[key] = getattr(self.rules, name)(store, *args)
        taken: tuple[Any, Store] = self.steps[key]
        return taken

    def steps_of_writer(self, world: World, index: int, writer: Writer) -> Iterator[World]:
        token = TOKENS[index]

        def moved(writer: Writer, **changes: Any) -> World:
            return world._replace(writers=with_(world.writers, index, writer), **changes)

        if world.crashes and writer.at in ("fenced", "committed", "delivered"):
            yield moved(Writer("crashed"), crashes=world.crashes - 1)
        match writer.at:
            case "start" if all(w.at not in ("start", "fenced") for w in world.writers[:index]):
                told, store = self.take("fence", world.store, token)
                processes = tuple(self.passed(process, token) for process in world.processes)
                if world.blinds:
                    yield moved(
                        Writer("fenced", is_blind=True),
                        **{"store": store, "processes": processes, "blinds": world.blinds - 1},
                    )
                told, processes = self.without_own(told, processes)
                yield moved(Writer("fenced", *told), store=store, processes=processes)
            case "fenced":
                yield moved(writer._replace(at="committed"), number=index + 1)
            case "committed":
                told, store = self.take("lift", world.store, token, writer.is_blind)
                processes = world.processes
                if told != Told():
                    processes = tuple(self.passed(process, token) for process in processes)
                    told, processes = self.without_own(told, processes)
                told = (
                    tuple({**dict(writer.told), **dict(told.holders)}.items()),
                    told.epoch or writer.epoch,
                )
                yield moved(Writer("delivered", *told), store=store, processes=processes)
            case "delivered":
                yield from self.wait(world, index, writer)

    def overwrite(self, world: World, index: int, writer: Writer) -> Iterator[World]:
        """Set the next value, and have the process of the writer keep it in a further step."""
        token, version = TOKENS[index], world.store.version
        if any(each.at in ("start", "told") for each in world.writers[:index]):
            return

        def moved(writer: Writer, store: Store, **changes: Any) -> World:
            writers = with_(world.writers, index, writer)
            return world._replace(writers=writers, store=store, **changes)

        if not isinstance(version, int):
            fresh = 1 + max([0, *self.versions_of(world)])
            yield moved(writer, self.take("mint", world.store, fresh)[1])
            return
        processes = tuple(self.passed(process, token) for process in world.processes)
        if self.tells_before and writer.at == "start":
            told, store = self.take("tell", world.store, token)
            told, processes = self.without_own(told, processes)
            yield moved(Writer("told", *told), store, processes=processes)
            return
        holder = None
        if self.own is not None and processes[self.own].lease is not None:
            holder = (self.own, processes[self.own].ident)
        (told, stamp), store = self.take(
            "overwrite", world.store, token, holder, version, index + 1
        )
        told, processes = self.without_own(told, processes)
        if stamp and self.own is not None:
            process = processes[self.own]
            kept = Thread("looked", 0, index + 1, stamp, process.ident)
            threads = tuple(sorted((*process.threads, kept)))
            processes = with_(processes, self.own, process._replace(threads=threads))
        if self.tells_before:
            told = Told(writer.told, writer.epoch)
        yield moved(Writer("delivered", *told), store, processes=processes, number=index + 1)

    def without_own(
        self, told: Told, processes: tuple[Process, ...]
    ) -> tuple[Told, tuple[Process, ...]]:
        """Drop at once what is kept in the process of the writer, who does not wait for it."""
        if self.own is None:
            return told, processes
        process = processes[self.own]
        holder = (self.own, process.ident)
        stamps = dict(told.holders)
        if holder not in stamps:
            return told, processes
        if self.drops_own:
            dropped = self.dropped(process, ((stamps[holder], ""),))._replace(seen=process.seen)
            processes = with_(processes, self.own, dropped)
        others = tuple(pair for pair in told.holders if pair[0] != holder)
        return told._replace(holders=others), processes

    def passed(self, process: Process, token: str) -> Process:
        """Return the process with a fence behind each lease that it has, or is about to get."""
        if process.lease is not None:
            process = process._replace(lease=process.lease | {token})
        if process.answer is not None and process.answer[0] == "granted":
            process = process._replace(answer=("granted", process.answer[1] | {token}))
        return process

    def wait(self, world: World, index: int, writer: Writer) -> Iterator[World]:
        token, store = TOKENS[index], world.store
        answers = dict(store.answers).get(token, frozenset())
        silent = [told for told in writer.told if not self.is_answered(told, answers)]
        late = silent if self.writers_wait else []
        if any(self.may_answer(world.processes[h[0]], token) for h, _ in late):
            return
        if writer.epoch and self.writers_wait:
            if any(self.may_answer(process, token) for process in world.processes):
                return
            _, store = self.take("settle", store, writer.epoch)
        for holder, stamp in late:
            _, store = self.take("bury", store, holder, stamp)
        writers = with_(world.writers, index, Writer("done"))
        returned = max(world.returned, index + 1)
        yield world._replace(store=store, writers=writers, returned=returned)

    def is_answered(self, told: tuple[Holder, int], answers: frozenset[tuple[Holder, int]]) -> bool:
        holder, stamp = told
        return any(
            who == holder and (since >= stamp or self.takes_old_answers) for who, since in answers
        )

    def may_answer(self, process: Process, token: str) -> bool:
        """Whether the process may have a lease from before the fence."""
        if process.lease is not None and token in process.lease:
            return True
        if self.counts_from_answer or process.answer is None:
            return False
        return process.answer[0] == "granted" and token in process.answer[1]

    def steps_of_process(self, world: World, index: int, process: Process) -> Iterator[World]:
        def moved(process: Process, **changes: Any) -> World:
            return world._replace(processes=with_(world.processes, index, process), **changes)

        if process.lease is not None:
            yield moved(process._replace(lease=None))
        if process.answer is not None:
            yield moved(self.heard(process))
            if process.answer[0] == "granted" and process.lease is None:
                yield moved(process._replace(answer=None))  # It comes too late.
        elif not process.ident:
            ident = process.joined + 1
            _, store = self.take("join", world.store, (index, ident))
            fresh = process._replace(ident=ident, joined=ident, seen=0, floor=0, given_up=0)
            yield moved(fresh._replace(answer=("granted", frozenset())), store=store)
        else:
            holder = (index, process.ident)
            items = dict(world.store.queues).get(holder, ())
            if items and items[-1][0] > process.seen:
                yield moved(process._replace(answer=("items", items)))  # The ring.
            args = (holder, process.seen, process.given_up)
            answer, store = self.take("renew", world.store, *args)
            sent = process._replace(answer=self.kind(answer), given_up=0)
            yield moved(sent, store=store)
        yield from self.ends_of_process(world, index, process)

    def ends_of_process(self, world: World, index: int, process: Process) -> Iterator[World]:
        """Take what a process loses, or others take from it."""

        def moved(process: Process, **changes: Any) -> World:
            return world._replace(processes=with_(world.processes, index, process), **changes)

        if process.memory is not None and process.evicts:
            stamp = process.memory[1]
            gone = process._replace(memory=None, evicts=process.evicts - 1)
            gone = gone._replace(given_up=max(process.given_up, stamp))
            if not self.evicts_silently:
                gone = gone._replace(floor=max(process.floor, stamp))
            yield moved(gone)
        if process.leaves and process.ident:
            _, store = self.take("leave", world.store, (index, process.ident))
            gone = process._replace(ident=0, lease=None, memory=None, answer=None)
            if self.leaves_before_forgetting:
                gone = process
            yield moved(gone._replace(leaves=process.leaves - 1), store=store)
        is_over = process.lease is None and process.answer is None
        if world.burials and process.ident and (is_over or self.buries_the_living):
            _, store = self.take("bury_silent", world.store, (index, process.ident))
            yield world._replace(store=store, burials=world.burials - 1)
        if world.kills:
            killed = process._replace(killed=True, memory=None, answer=None, threads=())
            yield moved(killed._replace(ident=0), kills=world.kills - 1)

    def kind(self, answer: Any) -> tuple[str, Any]:
        if answer is None:
            return ("gone", None)
        granted, items = answer
        return ("granted", frozenset()) if granted else ("items", items)

    def heard(self, process: Process) -> Process:
        """Return the process after the answer of the store has come."""
        if process.answer is None:
            return process
        kind, told = process.answer
        process = process._replace(answer=None)
        if kind == "gone":
            memory = process.memory if self.keeps_after_joining else None
            return process._replace(ident=0, lease=None, memory=memory)
        if kind == "granted":
            return process._replace(lease=frozenset() if self.counts_from_answer else told)
        return self.dropped(process, told)

    def told(self, process: Process, answer: Any, lease: Grant) -> Process:
        return self.heard(process._replace(answer=self.kind(answer)))

    def dropped(self, process: Process, items: tuple[Item, ...]) -> Process:
        """Drop what was kept before each of these invalidations."""
        stamp = max(stamp for stamp, _ in items)
        memory = process.memory
        if memory is not None and memory[1] < stamp:
            memory = None
        floor = process.floor if self.puts_blindly else max(process.floor, stamp)
        return process._replace(memory=memory, seen=max(process.seen, stamp), floor=floor)

    def steps_of_thread(  # noqa: C901 - one case for each step
        self, world: World, index: int, process: Process, place: int, thread: Thread
    ) -> Iterator[World]:
        def moved(thread: Thread, store: Store = world.store, process: Process = process) -> World:
            threads = tuple(sorted(with_(process.threads, place, thread)))
            process = process._replace(threads=threads)
            return world._replace(store=store, processes=with_(world.processes, index, process))

        holder: Any = (index, process.ident) if process.ident else None
        match thread.at:
            case "idle":
                (value, version, stamp), store = self.take("look", world.store, holder)
                if value is None and self.overwrites:
                    yield moved(Thread("done"), store)  # What it computes would be of no interest.
                elif value is not None:
                    at = "looked" if self.rules.registers_at_once else "registering"
                    yield moved(Thread(at, 0, value, stamp, process.ident), store)
                elif isinstance(version, frozenset):
                    yield moved(Thread("done"), store)
                elif version is None:
                    yield moved(Thread("missing"), store)
                else:
                    yield moved(Thread("sampled", version), store)
            case "missing":
                fresh = 1 + max([0, *self.versions_of(world)])
                version, store = self.take("mint", world.store, fresh)
                at = "done" if isinstance(version, frozenset) else "sampled"
                yield moved(Thread(at, 0 if at == "done" else version), store)
            case "sampled":
                yield moved(thread._replace(at="queried", value=world.number))
            case "queried":
                args = (holder, thread.version, thread.value)
                stamp, store = self.take("fill", world.store, *args)
                if stamp is None and not self.keeps_what_is_not_registered:
                    yield moved(Thread("done"), store)
                else:
                    at = "looked" if self.rules.registers_at_once else "registering"
                    yield moved(Thread(at, 0, thread.value, stamp or 99, process.ident), store)
            case "registering":
                if holder is None or not thread.stamp:
                    yield moved(Thread("done"))
                else:
                    asked = ((index, thread.ident), thread.stamp)
                    _, store = self.take("register", world.store, *asked)
                    yield moved(thread._replace(at="looked"), store)
            case "looked":
                yield moved(Thread("done"), process=self.kept(process, thread))

    def kept(self, process: Process, thread: Thread) -> Process:
        """Return the process after it has kept what a thread has found, if it may."""
        if not thread.stamp or thread.ident != process.ident or thread.stamp <= process.floor:
            return process
        if process.memory is not None and process.memory[1] > thread.stamp:
            return process
        return process._replace(memory=(thread.value, thread.stamp, thread.ident))

    # Worlds that are the same

    def versions_of(self, world: World) -> Iterator[int]:
        store = world.store
        if isinstance(store.version, int):
            yield store.version
        if store.entry is not None:
            yield store.entry[0]
        for process in world.processes:
            for thread in process.threads:
                if thread.version:
                    yield thread.version

    def canonical(self, world: World) -> World:
        """Return the world with the versions named in the order in which they are met."""
        names: dict[int, int] = {}
        for version in self.versions_of(world):
            names.setdefault(version, len(names) + 1)
        if all(version == name for version, name in names.items()):
            return world
        store = world.store
        if isinstance(store.version, int):
            store = store._replace(version=names[store.version])
        if store.entry is not None:
            store = store._replace(entry=(names[store.entry[0]], store.entry[1]))
        processes = tuple(
            process._replace(
                threads=tuple(
                    thread._replace(version=names.get(thread.version, 0))
                    for thread in process.threads
                )
            )
            for process in world.processes
        )
        return world._replace(store=store, processes=processes)
