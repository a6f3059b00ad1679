"""The wheel, alone in a new environment and a new project."""

import os
import subprocess
import sys
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django import get_version

from tests import processes
from tests.once import made_once

pytestmark = pytest.mark.packaging

ROOT = Path(__file__).resolve().parent.parent


def clean_environment() -> dict[str, str]:
    """Return the environment without the settings and the coverage of this test run."""
    ours = ("DJANGO_", "PYTHON", "COVERAGE_", "REDIS_URL", "DATABASE_URL")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command outside the checkout; return what it printed."""
    return processes.run(command, cwd, clean_environment())


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel built from the source distribution, so that both are complete."""

    def build(folder: Path) -> None:
        run(sys.executable, "-m", "build", "--outdir", folder, ROOT, cwd=folder)

    (wheel,) = made_once(tmp_path_factory, "wheel", build).glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory, wheel: Path) -> Path:
    """An environment that holds the wheel and what the wheel asks for."""

    def install(folder: Path) -> None:
        run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder)
        pip = (sys.executable, "-m", "pip", "--python", folder / "bin" / "python")
        run(*pip, "install", wheel, f"django=={get_version()}", cwd=folder)

    return made_once(tmp_path_factory, "environment", install) / "bin" / "python"


@pytest.fixture
def project(tmp_path: Path, python: Path) -> Path:
    """A new project with the app, and nothing else, added to its settings."""
    run(python, "-m", "django", "startproject", "fresh", cwd=tmp_path)
    with (tmp_path / "fresh" / "fresh" / "settings.py").open("a") as settings:
        settings.write('\nINSTALLED_APPS.append("cache_invalidation")\n')
    return tmp_path / "fresh"


@contextmanager
def served(python: Path, project: Path) -> Iterator[str]:
    """Run the project's server on a free port; yield its address."""
    server_code = (
        "from wsgiref.simple_server import make_server\n"
        "from fresh.wsgi import application\n"
        "server = make_server('127.0.0.1', 0, application)\n"
        "print(server.server_port, flush=True)\n"
        "server.serve_forever()\n"
    )
    with subprocess.Popen(
        [python, "-c", server_code],
        cwd=project,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        try:
            yield f"http://127.0.0.1:{server.stdout.readline().strip()}/"
        finally:
            server.terminate()


def test_the_wheel_holds_the_package_and_nothing_else(wheel):
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {
        "cache_invalidation",
        "django_cache_invalidation",
    }
    assert "cache_invalidation/py.typed" in names
    for kind in ("templates/admin/cache_invalidation/dashboard.html", "static/cache_invalidation"):
        assert any(name.startswith(f"cache_invalidation/{kind}") for name in names)
    assert "cache_invalidation/static/cache_invalidation/uplot/LICENSE" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)


def test_the_package_imports_without_settings(python, tmp_path):
    assert not run(python, "-W", "error", "-c", "import cache_invalidation", cwd=tmp_path)


def test_a_new_project_checks_migrates_and_serves(python, project):
    manage = (python, "-W", "error", "manage.py")
    assert "no issues" in run(*manage, "check", cwd=project)
    assert "No changes detected" in run(*manage, "makemigrations", "--check", cwd=project)
    run(*manage, "migrate", cwd=project)
    with served(python, project) as address, urllib.request.urlopen(address) as response:
        assert response.status == 200
