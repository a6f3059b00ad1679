"""Other processes that have to end well."""

import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path


def run(command: Sequence[str | Path], cwd: Path, environment: Mapping[str, str]) -> str:
    """Return what `command` prints; fail with that if it ends with an error."""
    result = subprocess.run(
        command,
        cwd=cwd,
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert not result.returncode, result.stdout
    return result.stdout
