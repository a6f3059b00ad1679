"""Every example in the documentation runs, and prints what it is said to print."""

import ast
import doctest
import os
import re
import shlex
import sys
import unittest
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
from django.apps import apps
from django.core.management import BaseCommand, get_commands, load_command_class
from django.core.management.color import no_style
from django.db import connection
from django.dispatch import Signal
from django.test import TestCase, override_settings

from cache_invalidation import checks, conf, registry, signals
from cache_invalidation.metrics.figures import Dropped, Figures
from cache_invalidation.metrics.notes import Cause
from cache_invalidation.metrics.report import reset_metrics
from cache_invalidation.metrics.shapes import Metrics, Minute
from tests import processes
from tests.checks.reporting import with_options
from tests.testapp import models

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
TUTORIAL = DOCS / "tutorial.md"
FOR_DEVELOPERS = {ROOT / "CONTRIBUTING.md", ROOT / "SECURITY.md"}
PAGES = sorted(
    {ROOT / "README.md", *FOR_DEVELOPERS, *DOCS.rglob("*.md")}
    - {TUTORIAL, *(DOCS / "_build").rglob("*.md")}
)

# Before a fixture changes them for a test.
DEFAULTS = {setting.name: setting.default for setting in conf.declared()}

_BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_FILE = re.compile(r"# ((?:\w+/)*\w+\.py)\b")
_PATH = re.compile(r"`((?:\w+/)+\w*(?:\.py)?|\w+\.py)`")
_LINK = re.compile(r"\]\(([^)#:]+)(?:#[^)]*)?\)")


@dataclass(frozen=True)
class Block:
    """A fenced block; `file` is what its first line says it is in, `line` where it begins."""

    language: str
    text: str
    file: str
    line: int


def blocks_of(page: Path) -> Iterator[Block]:
    source = page.read_text()
    for match in _BLOCK.finditer(source):
        language, text = match.groups()
        named = _FILE.match(text) if language == "python" else None
        line = source.count("\n", 0, match.start(2))
        yield Block(language, text, named[1] if named else "", line)


def named(page: Path) -> str:
    return str(page.relative_to(ROOT))


_HERE = {"LOCATION": os.environ.get("REDIS_URL", ""), "KEY_PREFIX": "docs"}


class Shop:
    """The project that the pages write files of, with the models of the test app as its own.

    Files with the same name on one page are parts of one module.
    """

    def __init__(self, page: Path, monkeypatch: pytest.MonkeyPatch, stack: ExitStack) -> None:
        self.page = page
        self.monkeypatch = monkeypatch
        self.stack = stack
        self.shell: dict[str, object] = {}
        for package in ("shop", "accounts", "blog"):
            self.module(package)
        monkeypatch.setitem(sys.modules, "shop.models", models)

    def module(self, name: str) -> ModuleType:
        if name not in sys.modules:
            self.monkeypatch.setitem(sys.modules, name, ModuleType(name))
            package, _, child = name.rpartition(".")
            if package:
                setattr(sys.modules[package], child, sys.modules[name])
        return sys.modules[name]

    def run(self, block: Block) -> None:
        if block.file.startswith("store/"):
            return  # A project of its own, which `tests.existing` runs.
        if block.language == "pycon":
            self.type_in(block)
        elif block.file == "settings.py":
            self.check_settings(block)
        elif block.language == "python":
            assert block.file, f"{named(self.page)}:{block.line} does not say which file it is in"
            module = self.module(block.file.removesuffix(".py").replace("/", "."))
            self.execute(block, module.__dict__)
            self.run_tests(module)

    def execute(self, block: Block, namespace: dict[str, object]) -> None:
        # Tags such as "shop.product" are spelled after the label of the app.
        source = "\n" * block.line + block.text.replace('"shop.', '"testapp.')
        exec(compile(source, named(self.page), "exec"), namespace)

    def type_in(self, block: Block) -> None:
        run_session(block.text, self.shell, f"{named(self.page)}:{block.line}")

    def check_settings(self, block: Block) -> None:
        namespace: dict[str, object] = {"INSTALLED_APPS": ["django.contrib.contenttypes"]}
        self.execute(block, namespace)
        del namespace["__builtins__"]
        # The caches of the tests are waited for longer, for the sake of busy machines.
        limits = with_options(SOCKET_TIMEOUT=1, SOCKET_CONNECT_TIMEOUT=1)
        with limits, override_settings(**namespace):
            assert checks.settings.check_settings() + checks.cache.check_time_limits() == []
        caches: Any = namespace.get("CACHES")
        if caches:
            # At the address of the server of the tests.
            caches = {name: {**each, **_HERE} for name, each in caches.items()}
            self.stack.enter_context(override_settings(CACHES=caches))
        if "MIDDLEWARE" in namespace:
            del namespace["INSTALLED_APPS"]
            # The rest of the page is about a site that is served with these.
            self.stack.enter_context(override_settings(ROOT_URLCONF="shop.urls", **namespace))

    def run_tests(self, module: ModuleType) -> None:
        cases = [
            kind
            for kind in vars(module).values()
            if isinstance(kind, type) and issubclass(kind, TestCase) and kind is not TestCase
        ]
        for case in cases:
            result = unittest.TestResult()
            unittest.defaultTestLoader.loadTestsFromTestCase(case).run(result)
            assert result.testsRun
            assert result.wasSuccessful(), result.failures + result.errors


class Checker(doctest.OutputChecker):
    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return super().check_output(want, got.replace("testapp.", "shop."), optionflags)


def run_session(text: str, namespace: dict[str, object], name: str) -> None:
    """Type `text`, with its ``>>>``, into a shell that keeps its names in `namespace`."""
    printed: list[str] = []
    test = doctest.DocTest(
        doctest.DocTestParser().get_examples(text), namespace, name, None, None, None
    )
    runner = doctest.DocTestRunner(Checker(), verbose=False, optionflags=doctest.ELLIPSIS)
    runner.run(test, out=printed.append, clear_globs=False)
    namespace.update(test.globs)
    assert not runner.summarize(verbose=False).failed, "".join(printed)


@pytest.fixture
def no_rules():
    """Empty the registry of what concerns the test app, and put it back afterwards."""
    wires, subscribers = registry.wires, registry.subscribers
    with ExitStack() as stack:
        for model in apps.get_app_config("testapp").get_models():
            stack.enter_context(registry.override(model, None))
        yield
    for wire in registry.wires[len(wires) :]:
        registry.disconnect(wire.signal, wire.handler)
    for _, subscriber in registry.subscribers[len(subscribers) :]:
        registry.off_event(subscriber)


@pytest.fixture
def goods(transactional_db):
    """What the shop sells when a page begins."""
    coffee = models.Category.objects.create(pk=3, name="Coffee", slug="coffee")
    models.Category.objects.create(pk=4, name="Tea", slug="tea")
    models.Product.objects.create(pk=42, name="Espresso", stock=12, category=coffee)
    models.Product.objects.create(pk=43, name="Lungo", stock=0, category=coffee)
    # Keys given by hand do not count for the database.
    resets = connection.ops.sequence_reset_sql(no_style(), [models.Category, models.Product])
    with connection.cursor() as cursor:
        for statement in resets:
            cursor.execute(statement)


@pytest.mark.django_db(transaction=True, databases=["default", "other"])
@pytest.mark.usefixtures("no_rules", "goods")
@pytest.mark.parametrize("page", PAGES, ids=named)
def test_the_examples_of_a_page_run(page, monkeypatch):
    # What earlier tests counted and did not flush.
    reset_metrics()
    with ExitStack() as stack:
        shop = Shop(page, monkeypatch, stack)
        for block in blocks_of(page):
            shop.run(block)


class Tutorial:
    """A reader who does what the tutorial says, in a folder of their own."""

    SKIPPED = ("pip install", "createsuperuser", "runserver")
    SHELL = (
        "import django, doctest; django.setup();"
        "failed, _ = doctest.testfile('session', False, optionflags=doctest.ELLIPSIS);"
        "raise SystemExit(bool(failed))"
    )

    VISIT = (
        "import sys, django; django.setup();"
        "from django.contrib.auth.models import User; from django.test import Client;"
        "from shop.models import Product;"
        "user = User.objects.create_superuser('admin'); page, admin = sys.argv[1:];"
        "client = Client(headers={'host': 'localhost'}); client.force_login(user);"
        "print(client.get(page).text); product = Product.objects.get();"
        "form = {'name': product.name, 'stock': 99, 'category': product.category_id};"
        "print(client.post(f'{admin}shop/product/{product.pk}/change/', form).status_code);"
        "print(client.get(page).text)"
    )

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.session = ""
        ours = ("DJANGO_", "COVERAGE_", "REDIS_URL", "DATABASE_URL")
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}

    def follow(self) -> None:
        for block in blocks_of(TUTORIAL):
            if block.language == "pycon":
                self.session += block.text
                continue
            self.type_session()
            if block.file:
                self.write(block)
            elif block.language == "console":
                self.run_commands(block)
        self.type_session()

    def write(self, block: Block) -> None:
        path = self.folder / block.file
        with path.open("a" if path.name == "settings.py" else "w") as file:
            file.write(block.text)

    def run_commands(self, block: Block) -> None:
        for command, expected in re.findall(r"^\$ (.+)\n((?:[^$].*\n)*)", block.text, re.MULTILINE):
            program, *arguments = shlex.split(command)
            if not any(skipped in command for skipped in self.SKIPPED):
                assert program == "python"
                assert expected in self.run(*arguments)
            if "runserver" in command:
                self.visit()

    def visit(self) -> None:
        """Open the page in a browser, change in the admin what it shows, and reload."""
        text = TUTORIAL.read_text()
        said = re.search(r"^Open `(/.+?)`.*?`(.+?)`.*?`(/admin/)`", text, re.MULTILINE | re.DOTALL)
        assert said, "The tutorial does not say what to open."
        page, shown, admin = said.groups()
        before, status, after = self.run("-c", self.VISIT, page, admin).splitlines()
        assert (before, status) == (shown, "302")
        assert after == '[["Espresso", 99]]'

    def type_session(self) -> None:
        """Type into one shell what was to be typed since the last command."""
        if self.session:
            (self.folder / "session").write_text(self.session)
            self.environment["DJANGO_SETTINGS_MODULE"] = "mysite.settings"
            self.run("-c", self.SHELL)
            self.session = ""

    def run(self, *arguments: str) -> str:
        command = [sys.executable, "-W", "error", *arguments]
        return processes.run(command, self.folder, self.environment)


def test_the_tutorial_can_be_followed(tmp_path):
    Tutorial(tmp_path).follow()


def headings(page: str) -> list[str]:
    """Return the headings of the second level, without their backquotes."""
    return re.findall(r"^## `(.+)`$", (DOCS / page).read_text(), re.MULTILINE)


def terms(page: str) -> list[str]:
    """Return what definition lists on the page define."""
    found = re.findall(r"^`(.+)`\n:", (DOCS / page).read_text(), re.MULTILINE)
    return [name for names in found for name in names.split("`, `")]


def test_every_setting_is_documented_with_its_default():
    text = (DOCS / "reference/settings.md").read_text()
    found = re.findall(r"^## `(\w+)`\n\nDefault: `(.+?)`", text, re.MULTILINE)
    documented = {name: ast.literal_eval(default) for name, default in found}
    assert documented == DEFAULTS


def test_every_system_check_is_documented():
    modules = Path(checks.__file__).parent.glob("*.py")
    source = "".join(module.read_text() for module in modules)
    assert headings("reference/checks.md") == sorted(
        re.findall(r'id="(cache_invalidation\.\w+)"', source)
    )


def test_every_command_and_its_options_are_documented():
    text = (DOCS / "reference/commands.md").read_text()
    common = BaseCommand().create_parser("", "")
    names = [name for name, app in get_commands().items() if app == "cache_invalidation"]
    assert headings("reference/commands.md") == sorted(names)
    for name, section in zip(sorted(names), text.split("\n## ")[1:], strict=True):
        parser = load_command_class("cache_invalidation", name).create_parser("", "")
        options = set(parser._option_string_actions) - set(common._option_string_actions)
        assert options == set(re.findall(r"^`(--[\w-]+)`$", section, re.MULTILINE))


def test_every_field_of_the_metrics_is_documented():
    text = (DOCS / "reference/metrics.md").read_text()
    assert terms("reference/metrics.md") == [*Metrics.__annotations__, *Figures.__annotations__]
    assert all(f"`{name}`" in text for name in [*Dropped.__annotations__, *get_args(Cause)])
    minutes = text[text.index("With `--minutes N`") :]
    assert all(f"`{name}`" in minutes for name in Minute.__annotations__)


def test_every_signal_is_documented():
    names = [name for name, value in vars(signals).items() if isinstance(value, Signal)]
    assert headings("reference/signals.md") == names


@pytest.mark.parametrize(
    "page", [ROOT / "CHANGELOG.md", TUTORIAL, *PAGES], ids=lambda page: str(page.relative_to(ROOT))
)
def test_links_lead_somewhere(page):
    targets = _LINK.findall(page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_the_files_that_the_architecture_names_are_there():
    paths = set(_PATH.findall((DOCS / "explanation" / "architecture.md").read_text()))
    assert len(paths) > 40
    roots = ROOT, ROOT / "cache_invalidation"
    assert {path for path in paths if not any((root / path).exists() for root in roots)} == set()


def test_the_architecture_names_every_room():
    text = (DOCS / "explanation" / "architecture.md").read_text()
    rooms = {path.parent.name for path in (ROOT / "cache_invalidation").glob("*/__init__.py")}
    unnamed = {room for room in rooms - {"migrations"} if f"`{room}`" not in text}
    assert unnamed == set()
