"""The source distributions, which have the tests that wheels leave out."""

import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path
from typing import Final

from tests.compat.suites import Suite

#: Ignored by git; `make clean` removes it.
FOLDER: Final = Path(__file__).parents[2] / "var" / "compat"


class SourceError(RuntimeError):
    """A source could not be had; the message says what pip said."""


def source(suite: Suite) -> Path:
    """Return the unpacked source of the version of `suite` that is installed.

    It is downloaded once. Nothing of it is installed.
    """
    unpacked = FOLDER / f"{suite.distribution}-{suite.version}"
    if not unpacked.exists():
        FOLDER.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=FOLDER) as directory:
            _unpack(_download(suite, Path(directory))).rename(unpacked)
    return unpacked


def _download(suite: Suite, directory: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    # What it needs to tell its metadata may come as wheels.
    command += ["--no-deps", "--no-binary", suite.distribution, "--dest", str(directory)]
    command.append(f"{suite.distribution}=={suite.version}")
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        raise SourceError(f"{suite.distribution} {suite.version}: {run.stderr}")
    return next(directory.glob("*.tar.gz"))


def _unpack(archive: Path) -> Path:
    """Return the one folder that is in `archive`."""
    directory = archive.with_suffix(".d")
    with tarfile.open(archive) as file:
        file.extractall(directory, filter="data")
    return next(directory.iterdir())
