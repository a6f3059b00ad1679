"""Runs the tests of another project, with our app among its apps or without it.

    python tests/compat/inside.py SCRIPT [ARGUMENT ...]
    python tests/compat/inside.py pytest [ARGUMENT ...]

Nothing of the other project is edited. Whatever its settings are, it calls `django.setup()`, and
that is where they get the databases and the cache that `COMPAT` describes, as JSON, and the app.
The outcome of each test becomes a line of JSON in a file.

`tests` is the package of somebody else here, so nothing of ours is imported but the app.
"""

import json
import logging
import os
import runpy
import sys
import traceback
import unittest
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TextIO

import django

APP: Final = "cache_invalidation"


def main() -> None:
    """Run what the arguments name, and end with its exit status."""
    plan = json.loads(os.environ.pop("COMPAT"))
    with Path(plan["report"]).open("w") as file:
        recorder = Recorder(file)
        _change_setup(plan, recorder)
        try:
            _run(sys.argv[1], sys.argv[2:], recorder)
        finally:
            recorder.conclude()


def _run(script: str, arguments: list[str], recorder: "Recorder") -> None:
    if script == "pytest":
        sys.path[0] = str(Path.cwd())
        sys.exit(_run_pytest(arguments, recorder))
    sys.path[0] = str(Path(script).resolve().parent)
    sys.argv = [script, *arguments]
    runner: Any = unittest.TextTestRunner
    runner.resultclass = _result_class(recorder)
    runpy.run_path(script, run_name="__main__")


def _change_setup(plan: dict[str, Any], recorder: "Recorder") -> None:
    """Have `django.setup()` change the settings first."""
    setup = django.setup

    def changed_setup(*args: Any, **kwargs: Any) -> None:
        from django.conf import settings

        settings.DATABASES = {
            alias: {**plan["database"], "NAME": alias} for alias in settings.DATABASES
        }
        settings.CACHES = {**settings.CACHES, "default": plan["cache"]}
        # The default takes its time, on purpose.
        settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
        apps = settings.INSTALLED_APPS
        if plan["app"] and APP not in apps:
            settings.INSTALLED_APPS = type(apps)([*apps, APP])  # Some add to it themselves.
        setup(*args, **kwargs)
        if APP in sys.modules:
            recorder.listen()
        if plan["server"]:
            _do_without(**plan["server"])

    django.setup = changed_setup


def _do_without(extensions: list[str], collations: list[str]) -> None:
    """Ask of PostgreSQL what it has; it may have been built without some that Django asks for.

    Tests that are about these fail then, without the app as well. The others can be run.
    """
    from django.contrib.postgres.operations import CreateExtension
    from django.db.backends.postgresql.features import DatabaseFeatures

    operation: Any = CreateExtension
    features: Any = DatabaseFeatures
    exists = operation.extension_exists

    def is_there(self: Any, schema_editor: Any, extension: str) -> bool:
        return extension not in extensions or bool(exists(self, schema_editor, extension))

    operation.extension_exists = is_there
    features.test_collations = {
        purpose: name if name in collations else "C"
        for purpose, name in features.test_collations.items()
    }


def _is_at_work() -> bool:
    """Whether the app is there, and everything it sees writes by is in its place."""
    if APP not in sys.modules:
        return False
    from cache_invalidation.checks.observers import check_observers

    return not check_observers()


class Recorder(logging.Handler):
    """Writes down what became of each test, and whether the app was at work when it began."""

    def __init__(self, file: TextIO) -> None:
        super().__init__(logging.ERROR)
        self.file = file
        self.test = ""
        self.watched: dict[str, bool] = {}
        self.delivered: int | None = None

    def begin(self, test: str) -> None:
        self.test = test
        self.watched[test] = _is_at_work()

    def end(self, test: str, outcome: str, text: str = "") -> None:
        watched = self.watched.get(test, False)
        self._write({"test": test, "outcome": outcome, "text": text, "watched": watched})

    def listen(self) -> None:
        """Count what the app delivers, and write down what it logs as an error."""
        from cache_invalidation.signals import invalidated

        self.delivered = 0
        invalidated.connect(self._count, dispatch_uid="compat")
        logging.getLogger(APP).addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        error = record.exc_info
        text = _text(error) if error and error[0] else ""
        self._write(
            {"test": self.test, "outcome": "logged", "text": f"{record.getMessage()}\n{text}"}
        )

    def _count(self, **kwargs: Any) -> None:
        self.delivered = (self.delivered or 0) + 1

    def conclude(self) -> None:
        self._write({"delivered": self.delivered})

    def _write(self, line: dict[str, Any]) -> None:
        self.file.write(json.dumps(line) + "\n")  # In one piece: there are threads.
        self.file.flush()


def _result_class(recorder: Recorder) -> type[unittest.TextTestResult]:
    class Result(unittest.TextTestResult):
        def startTest(self, test: Any) -> None:  # noqa: N802 - a name of unittest
            recorder.begin(test.id())
            super().startTest(test)

        def addSubTest(self, test: Any, subtest: Any, err: Any) -> None:  # noqa: N802
            if err is not None:
                recorder.end(test.id(), "failed", _text(err))
            super().addSubTest(test, subtest, err)

    def recording(add: Callable[..., None], outcome: str) -> Callable[..., None]:
        def record(self: Any, test: Any, *details: Any) -> None:
            recorder.end(test.id(), outcome, *map(_text, details))
            add(self, test, *details)

        return record

    for method, outcome in {
        "addSuccess": "passed",
        "addExpectedFailure": "passed",
        "addSkip": "skipped",
        "addFailure": "failed",
        "addError": "failed",
        "addUnexpectedSuccess": "failed",
    }.items():
        setattr(Result, method, recording(getattr(unittest.TextTestResult, method), outcome))
    return Result


def _text(detail: Any) -> str:
    return detail if isinstance(detail, str) else "".join(traceback.format_exception(*detail))


def _run_pytest(arguments: list[str], recorder: Recorder) -> int:
    import pytest

    class Plugin:
        def pytest_runtest_logstart(self, nodeid: str) -> None:
            recorder.begin(nodeid)

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.when == "call" or not report.passed:
                recorder.end(report.nodeid, report.outcome, report.longreprtext)

    return pytest.main(arguments, plugins=[Plugin()])


if __name__ == "__main__":
    main()
