"""The settings and the server are run as a user runs them, in a process of their own."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from urllib.request import urlopen

import pytest
from django.core.management import call_command

from tests.stores.steps import PATIENCE

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]


def start(*arguments, **environment):
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "HOME")}
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**kept, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.mark.parametrize("environment", [{}, {"REDIS_URL": "redis://localhost"}])
def test_the_settings_need_no_server(environment):
    with start("manage.py", "check", **environment) as process:
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, output


@pytest.mark.django_db
def test_the_migrations_are_those_of_the_models():
    call_command("makemigrations", "airports", check=True, dry_run=True, verbosity=0)


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        return server.getsockname()[1]


def wait_for(url, process):
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline and process.poll() is None:
        try:
            return urlopen(url, timeout=PATIENCE).read().decode()
        except OSError:
            time.sleep(0.1)
    process.kill()
    raise AssertionError(process.stdout.read())


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
def test_the_site_is_served_until_it_is_stopped(tmp_path, redis_url, signal_):
    port = str(free_port())
    database = f"sqlite:///{tmp_path}/site.sqlite3"
    environment = {"PORT": "1", "REDIS_URL": redis_url, "DATABASE_URL": database}
    command = ["-u", "-m", "example_project.serve", "--port", port]
    with start(*command, **environment) as process:
        try:
            assert "Brazil" in wait_for(f"http://127.0.0.1:{port}/", process)
            process.send_signal(signal_)
            output, _ = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    assert process.returncode == 0
    assert "password admin" in output
    assert "Traceback" not in output


@pytest.mark.parametrize(
    ("arguments", "environment", "status", "said"),
    [
        (["--help"], {}, 0, "--port N"),
        (["8001"], {}, 2, "unrecognized arguments: 8001"),
        (["--port", "80000"], {}, 2, "'80000' is no port"),
        ([], {"PORT": "http"}, 2, "'http' is no port"),
    ],
)
def test_arguments_are_understood_before_anything_is_started(arguments, environment, status, said):
    with start("-m", "example_project.serve", *arguments, **environment) as process:
        output, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == status, output
    assert said in output
    assert "Site:" not in output
