"""Servers that misbehave in ways that a real one cannot be made to."""

import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

Answer = Callable[[bytes], bytes]


def nonsense(request: bytes) -> bytes:
    """Answer as something does that is not Redis."""
    return b"HTTP/1.1 400 Bad Request\r\n\r\n"


def silence(request: bytes) -> bytes:
    """Take the request and say nothing."""
    return b""


def redis_of_version(version: str) -> Answer:
    """Answer as a Redis server of `version` does, as far as connecting to it goes."""
    info = f"redis_version:{version}\r\nrun_id:0123456789abcdef\r\n".encode()

    def answer(request: bytes) -> bytes:
        answers = []
        for name in re.findall(rb"\*\d+\r\n\$\d+\r\n(\w+)", request):
            if name.upper() == b"HELLO":
                answers.append(b"%1\r\n+proto\r\n:3\r\n")
            elif name.upper() == b"INFO":
                answers.append(b"$%d\r\n%s\r\n" % (len(info), info))
            else:
                answers.append(b"+OK\r\n")
        return b"".join(answers)

    return answer


class FakeServer:
    """A listening socket that counts who connects; without an `answer` it hangs up at once."""

    def __init__(self, directory: Path, answer: Answer | None = None) -> None:
        self.path = directory / "fake.sock"
        self.answer = answer
        self.connections = 0
        self.requests = 0
        self._client: socket.socket | None = None

    @property
    def url(self) -> str:
        return f"unix://{self.path}?db=0"

    def __enter__(self) -> Self:
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(self.path))
        self._listener.listen(64)
        self._thread = threading.Thread(target=self._accept)
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        # Closing alone would not wake up the thread that accepts, or that waits for a request.
        self._listener.shutdown(socket.SHUT_RDWR)
        if (client := self._client) is not None:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._listener.close()
        self.path.unlink()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            self.connections += 1
            with client:
                self._client = client
                self._converse(client)

    def _converse(self, client: socket.socket) -> None:
        try:
            while self.answer is not None and (request := client.recv(65_536)):
                self.requests += 1
                client.sendall(self.answer(request))
        except OSError:
            return
