"""The system check of whether what observes writes is still in its place."""

from collections.abc import Callable
from functools import partial, wraps
from types import FunctionType
from typing import Any

import pytest
from django.core.checks import Error
from django.db import connections
from django.db.backends.signals import connection_created
from django.db.backends.utils import CursorWrapper
from django.db.models import Model, QuerySet
from django.db.models.deletion import Collector
from django.db.models.signals import m2m_changed, pre_delete
from django.dispatch import Signal
from django.test import modify_settings

from cache_invalidation import registry
from cache_invalidation.checks.observers import check_observers
from cache_invalidation.observing import watcher
from cache_invalidation.writes import bulk, deletions, saves
from cache_invalidation.writes.statements import write
from tests.checks.reporting import ids, only
from tests.ruled import ByName
from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db(databases="__all__")

Undo = Callable[[pytest.MonkeyPatch], None]

WRAPPED = [
    (Model, "save_base"),
    (Model, "_save_table"),
    (QuerySet, "update"),
    (QuerySet, "bulk_create"),
    (Collector, "delete"),
]


def mute(signal: Signal) -> Undo:
    """Do to a signal what helpers of tests do: take away all of its receivers."""

    def undo(monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(signal, "receivers", [])
        signal.sender_receivers_cache.clear()

    return undo


def put_back(kind: Any, name: str) -> Undo:
    original = getattr(kind, name).__wrapped__
    return lambda monkeypatch: monkeypatch.setattr(kind, name, original)


def replace(kind: Any, name: str) -> Undo:
    return lambda monkeypatch: monkeypatch.setattr(kind, name, lambda *args, **kwargs: None)


def take_away(kind: Any, name: str) -> Undo:
    return lambda monkeypatch: monkeypatch.delattr(kind, name)


def unwrap_commit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(connections["default"].__dict__, "commit")


def empty_wrappers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connections["default"], "execute_wrappers", [])


@pytest.fixture(autouse=True)
def _connected() -> None:
    connections["default"].ensure_connection()


@pytest.fixture
def put_receivers_back() -> Any:
    """Clear what signals remember of their receivers once these are there again."""
    yield
    for signal in (pre_delete, m2m_changed, connection_created):
        signal.sender_receivers_cache.clear()


def test_everything_is_in_its_place():
    assert check_observers() == []


@pytest.mark.parametrize(
    ("undo", "missing"),
    [
        (mute(pre_delete), ["pre_delete"]),
        (mute(m2m_changed), ["m2m_changed"]),
        (mute(connection_created), ["commit()", "execute_wrapper"]),
        (put_back(Model, "_save_table"), ["Model._save_table"]),
        (replace(Model, "_save_table"), ["Model._save_table"]),
        (put_back(Model, "save_base"), ["Model.save_base"]),
        (put_back(QuerySet, "update"), ["QuerySet.update"]),
        (put_back(QuerySet, "bulk_create"), ["QuerySet.bulk_create"]),
        (replace(QuerySet, "update"), ["QuerySet.update"]),
        (put_back(CursorWrapper, "callproc"), ["CursorWrapper.callproc"]),
        (take_away(CursorWrapper, "copy"), ["CursorWrapper.callproc"]),
        (put_back(Collector, "delete"), ["Collector.delete"]),
        (unwrap_commit, ["commit()"]),
        (empty_wrappers, ["execute_wrapper"]),
    ],
    ids=[
        "pre_delete",
        "m2m_changed",
        "connection_created",
        "save put back",
        "save replaced",
        "save of a child put back",
        "update put back",
        "bulk_create put back",
        "update replaced",
        "callproc put back",
        "copy taken away",
        "delete put back",
        "commit",
        "watcher",
    ],
)
@pytest.mark.usefixtures("put_receivers_back")
def test_e011_what_somebody_has_undone(undo: Undo, missing: list[str]):
    with pytest.MonkeyPatch.context() as monkeypatch, registry.override(Product, ByName):
        undo(monkeypatch)
        messages = check_observers()
    assert ids(messages) == ["E011"] * len(missing)
    for message, name in zip(messages, missing, strict=True):
        assert name in message.msg
        assert type(message) is Error
        assert message.hint
    assert check_observers() == []


def test_e011_a_single_receiver_that_is_disconnected():
    with registry.override(Category, ByName):
        receiver = next(r for r in _receivers_of(pre_delete, Category))
        assert pre_delete.disconnect(receiver, sender=Category)
        try:
            only(check_observers(), Error, "E011")
        finally:
            pre_delete.connect(receiver, sender=Category, weak=False)
        assert check_observers() == []


def _receivers_of(signal: Signal, sender: Any) -> list[Any]:
    return [
        receiver
        for lookup, receiver, *_ in signal.receivers
        if lookup[1] == id(sender) and receiver.__module__.startswith("cache_invalidation.")
    ]


def test_e011_a_wired_signal_whose_receiver_is_disconnected():
    signal = Signal()

    def handler(**kwargs: Any) -> None: ...

    registry.connect(signal, handler)
    try:
        assert check_observers() == []
        signal.receivers.clear()
        only(check_observers(), Error, "E011")
    finally:
        registry.disconnect(signal, handler)
    assert check_observers() == []


@pytest.mark.parametrize("sender", ["testapp.Product", Product, None])
def test_a_signal_may_be_wired_for_any_sender(sender: Any):
    def handler(**kwargs: Any) -> None: ...

    registry.connect(pre_delete, handler, sender=sender)
    try:
        assert check_observers() == []
    finally:
        registry.disconnect(pre_delete, handler)


@pytest.mark.parametrize(("kind", "name"), WRAPPED)
def test_others_may_wrap_what_is_wrapped(monkeypatch: pytest.MonkeyPatch, kind: Any, name: str):
    inner = getattr(kind, name)

    @wraps(inner)
    def outer(*args: Any, **kwargs: Any) -> Any:
        return inner(*args, **kwargs)

    monkeypatch.setattr(kind, name, outer)
    assert check_observers() == []


@pytest.mark.parametrize(("kind", "name"), WRAPPED)
def test_what_others_have_wrapped_before_is_wrapped_as_well(
    monkeypatch: pytest.MonkeyPatch, kind: Any, name: str
):
    inner = getattr(kind, name).__wrapped__

    @wraps(inner)
    def outer(*args: Any, **kwargs: Any) -> Any:
        return inner(*args, **kwargs)

    monkeypatch.setattr(kind, name, outer)
    saves.install()
    bulk.install()
    deletions.install()
    assert getattr(kind, name).__wrapped__ is outer
    assert check_observers() == []


def test_others_may_wrap_the_commit_of_a_connection(monkeypatch: pytest.MonkeyPatch):
    connection = connections["default"]
    inner = connection.commit

    @wraps(inner)
    def outer() -> None:
        inner()

    monkeypatch.setattr(connection, "commit", outer)
    assert check_observers() == []
    monkeypatch.setattr(connection, "commit", partial(inner.args[1]))  # type: ignore[attr-defined]
    only(check_observers(), Error, "E011")


def test_a_connection_that_nobody_has_opened_yet_is_not_missed():
    new = connections.create_connection("other")
    connections["other"].close()
    before = connections["other"]
    connections["other"] = new
    try:
        assert new.connection is None
        assert check_observers() == []
    finally:
        connections["other"] = before


def test_e011_a_watcher_that_was_uninstalled():
    watcher.uninstall()
    try:
        only(check_observers(), Error, "E011")
    finally:
        watcher.install(write)
    assert check_observers() == []


@pytest.mark.parametrize("name", ["example_project.airports", "example_project.airports.patches"])
def test_e011_an_app_that_patches_django_after_this_one_has_to_stand_before_it(name, monkeypatch):
    def bulk_create(self: Any) -> None: ...

    patched = FunctionType(bulk_create.__code__, {"__name__": name})
    patched.__module__ = "django.db.models.query"
    monkeypatch.setattr(QuerySet, "bulk_create", patched)
    message = only(check_observers(), Error, "E011")
    assert message.hint == (
        "'example_project.airports' replaces QuerySet.bulk_create. Put it before "
        "'cache_invalidation' in INSTALLED_APPS."
    )


@pytest.mark.parametrize("name", ["django.contrib.auth.patches", "elsewhere"])
def test_e011_the_order_is_not_blamed_for_what_it_does_not_change(name, monkeypatch):
    def update(self: Any) -> None: ...

    monkeypatch.setattr(QuerySet, "update", FunctionType(update.__code__, {"__name__": name}))
    assert "INSTALLED_APPS" not in str(only(check_observers(), Error, "E011").hint)


def test_in_a_test_that_has_other_apps_only_nothing_is_reported():
    with modify_settings(INSTALLED_APPS={"remove": "cache_invalidation"}):
        assert check_observers() == []
        with pytest.MonkeyPatch.context() as monkeypatch:
            put_back(CursorWrapper, "callproc")(monkeypatch)
            assert ids(check_observers()) == ["E011"]
