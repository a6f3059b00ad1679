"""The processes of a soak, any of which may be stopped, or killed and replaced, at any moment."""

import os
import random
import signal
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from typing import Self

from tests.consistency.drills.processes import processes
from tests.near.soak.course import Course, State
from tests.near.soak.roles import work
from tests.stores.steps import PATIENCE

# A process that is killed is replaced at once, and should not have to load anything.
processes.set_forkserver_preload(["tests.consistency.drills.template", "tests.near.soak.roles"])


class SoakError(RuntimeError):
    """It could not be run, so its numbers would mean nothing."""


class Crew:
    """A process for each of `roles`, whose numbers are their places in it."""

    def __init__(self, course: Course, roles: list[str]) -> None:
        self.course = course
        self._roles = roles
        self._processes: dict[int, BaseProcess] = {}
        self._stopped: set[int] = set()

    def __enter__(self) -> Self:
        try:
            for number in range(len(self._roles)):
                self.start(number)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._end()

    def start(self, number: int) -> None:
        arguments = self._roles[number], self.course, number
        process = processes.Process(target=work, args=arguments, daemon=True)
        process.start()
        self._processes[number] = process

    def numbers(self, role: str) -> list[int]:
        return [number for number, name in enumerate(self._roles) if name == role]

    def kill(self, role: str) -> None:
        """Kill one with this role wherever it is, and have another one go on with its numbers."""
        number = random.choice([n for n in self.numbers(role) if n not in self._stopped])
        self.replace(number)

    def replace(self, number: int) -> None:
        process = self._processes.pop(number)
        process.kill()
        process.join()
        process.close()
        self.start(number)

    def stop(self, role: str) -> int:
        """Stop one with this role, wherever it is; return its number."""
        running = [number for number in self.numbers(role) if number not in self._stopped]
        number = random.choice(running)
        self._stopped.add(number)
        os.kill(self._pid(number), signal.SIGSTOP)
        return number

    def go_on(self, number: int) -> None:
        """Have one go on that was stopped."""
        os.kill(self._pid(number), signal.SIGCONT)
        self._stopped.discard(number)

    def _pid(self, number: int) -> int:
        pid = self._processes[number].pid
        assert pid is not None
        return pid

    def look_for_what_is_left(self, settled: Callable[[], bool]) -> None:
        """Have nobody write, wait until all has `settled`, and then everybody look.

        So does somebody who knows nothing.
        """
        course = self.course
        course.state.value = State.HUSH
        writers, readers = self.numbers("write"), self.numbers("read")
        self._wait(lambda: all(course.tallies[number].is_hushed for number in writers))
        self._wait(settled)
        # A writer may have been killed when nobody had answered yet who keeps what it wrote.
        time.sleep(1)
        course.rounds.value += 1
        course.state.value = State.LOOK
        self.replace(random.choice(readers))
        looks = course.rounds.value
        self._wait(lambda: all(course.tallies[number].looks >= looks for number in readers))
        course.state.value = State.RACE

    def _wait(self, is_true: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not is_true():
            if time.monotonic() > deadline:
                raise SoakError("A process is stuck.")
            self.check()
            time.sleep(0.01)

    def check(self) -> None:
        """Raise `SoakError` if a process has ended that nobody has killed."""
        for number, process in self._processes.items():
            if process.exitcode is not None:
                raise SoakError(f"One to {self._roles[number]} has died ({process.exitcode}).")

    def _end(self) -> None:
        self.course.state.value = State.END
        for number in list(self._stopped):
            self.go_on(number)
        for process in self._processes.values():
            process.join(PATIENCE)
            process.kill()
            process.join()
            process.close()
        self._processes.clear()
