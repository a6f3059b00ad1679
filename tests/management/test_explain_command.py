"""The management command `explain_invalidation`."""

import json
import re
import shlex
from io import StringIO
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from django.core.management import CommandError, call_command
from django.db import connections, transaction
from model_bakery import baker

from cache_invalidation import ModelInvalidation, explain, registry
from cache_invalidation.explain import explain_sql
from cache_invalidation.metrics.counters import counters
from cache_invalidation.reads import functions
from cache_invalidation.stores import get_store
from tests.delivered import delivered
from tests.management.test_commands import shell
from tests.outages import down, use
from tests.testapp.models import Category, Counter, Product, Voucher
from tests.testapp.unusual import Composite, Shop

__all__ = ["down", "use"]

pytestmark = pytest.mark.django_db(databases=["default", "other"])

PAGE = Path(__file__).resolve().parents[2] / "docs/reference/commands.md"


class ProductRule(ModelInvalidation):
    tags = ["category:{category_id}"]
    keys = ["product-detail:{pk}"]


@pytest.fixture(autouse=True)
def no_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without those of other tests, which depend on the same models."""
    monkeypatch.setattr(functions, "by_name", dict)
    counters.discard()


@pytest.fixture
def product() -> Any:
    category = baker.make(Category, pk=3)
    baker.make(Product, pk=43, category=category)
    with registry.override(Product, ProductRule):
        yield baker.make(Product, pk=42, category=category)


def output_of(*arguments: str) -> str:
    output = StringIO()
    call_command("explain_invalidation", *arguments, stdout=output)
    return output.getvalue()


def found(*arguments: str) -> Any:
    return json.loads(output_of(*arguments, "--format", "json"))


def rules(*arguments: str) -> Any:
    return found(*arguments)["rules"]


def tags(*arguments: str) -> set[str]:
    return {tag for rule in rules(*arguments) for tag in rule["tags"]}


def test_a_row_is_explained_as_text(product):
    assert output_of("testapp.Product", "42").splitlines() == [
        "testapp.product:42",
        f"  {__name__}.ProductRule",
        "    tag     category:3",
        "    tag     testapp.product",
        "    tag     testapp.product:42",
        "    key     product-detail:42",
    ]


def test_a_row_is_explained_as_json(product):
    rows = Product.objects.filter(pk=42)
    expected = {**explain(rows).as_dict(), "dependent": []}
    assert found("testapp.Product", "42") == expected
    assert found("testapp.product", "42", "--operation=save") == expected


def test_a_rule_that_looks_at_fields_is_shown_with_what_it_would_drop(product):
    class Rule(ProductRule):
        fields = ["name"]

    with registry.override(Product, Rule):
        text = output_of("testapp.Product", "42")
    assert "Rule (if name changes)\n" in text
    assert "category:3" in text


def test_a_deletion_is_explained(product):
    expected = explain(Category.objects.get(), operation="delete").as_dict()
    assert rules("testapp.Category", "3", "--operation", "delete") == expected["rules"]
    assert "delete testapp.product\n" in output_of("testapp.Category", "3", "--operation=delete")


def test_a_model_stands_for_rows_that_are_not_known(product):
    assert rules("testapp.Product") == explain(Product).as_dict()["rules"]
    expected = explain(Category, operation="delete").as_dict()
    assert rules("testapp.Category", "--operation=delete") == expected["rules"]


def test_a_statement_is_explained(product):
    sql = "DELETE FROM testapp_product WHERE id = %s"
    expected = {**explain_sql(sql, [42]).as_dict(), "dependent": []}
    assert found("--sql", sql, "--param", "42") == expected
    assert tags("--sql", sql, "--param", "42") == {
        "category:3",
        "testapp.product",
        "testapp.product:42",
    }
    assert "No value is given" in output_of("--sql", sql)
    assert Product.objects.filter(pk=42).exists()


@pytest.mark.parametrize("sql", ["", "garbage '", "SELECT 1"])
def test_a_statement_that_means_nothing_to_the_models_gets_an_answer(sql):
    assert "It names no table of a model" in output_of("--sql", sql)


def test_keys_of_every_kind_are_understood():
    key = UUID("00000000-0000-0000-0000-00000000002a")
    Voucher.objects.create(pk=key)
    Shop.objects.create(code="a b", name="x")
    Composite.objects.create(tenant=7, number=key)
    assert f"testapp.voucher:{key}" in tags("testapp.Voucher", key.hex)
    assert "testapp.shop:a b" in tags("testapp.Shop", "a b")
    expected = explain(Composite.objects.all()).tags
    assert tags("testapp.Composite", "7", str(key)) == expected


def test_another_database_may_be_named(product):
    baker.make(Category, pk=5, _using="other")
    assert tags("testapp.Category", "5", "--database", "other") >= {"testapp.category:5"}
    with pytest.raises(CommandError, match="no row 5 in the database 'default'"):
        output_of("testapp.Category", "5")
    sql = "UPDATE testapp_product SET stock = 1 WHERE id = 42"
    assert "category:3" in tags("--sql", sql)
    assert "not there" in output_of("--sql", sql, "--database=other")


def test_an_excluded_model_is_no_error(settings):
    settings.CACHE_INVALIDATION = {"EXCLUDE": ["testapp"]}
    assert "Nobody watches testapp.Product: see EXCLUDE" in output_of("testapp.Product")
    assert found("testapp.Product")["rules"] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Say what is written: a model, such as shop.Product"),
        (["testapp.Product", "--sql", "SELECT 1"], "Give a model or --sql, not both"),
        (["testapp.Product", "--param", "1"], "--param goes with --sql only"),
        (["--sql", "SELECT 1", "--operation", "save"], "--operation goes with a model only"),
        (["testapp.Prodct"], r"no model 'testapp.Prodct'. Did you mean testapp.Product\b"),
        (["Product"], "no model 'Product'. Did you mean testapp.Product?"),
        (["testapp_product"], "no model 'testapp_product'. Did you mean testapp.Product?"),
        (["a.b.c"], "no model 'a.b.c'. Its name is app.Model"),
        (["xyz.Qqq"], "no model 'xyz.Qqq'. Its name is app.Model"),
        ([""], "no model ''"),
        (["testapp.Product", "99"], "testapp.Product has no row 99 in the database 'default'"),
        (
            ["testapp.Product", "9" * 30],
            "no primary key of .*: Ensure this value is less",
        ),
        (["testapp.Product", "x"], "no primary key of testapp.Product: .x. value must be an int"),
        (["testapp.Product", "9" * 5000], "no primary key of testapp.Product"),
        (["testapp.Voucher", "42"], "no primary key of testapp.Voucher: .42. is not a valid UUID"),
        (["testapp.Product", "1", "2"], "2 values are given for the primary key of .*: id"),
        (["testapp.Composite", "1"], "1 value is given for the primary key of .*: tenant, number"),
        (["testapp.Product", "--database", "nope"], "nope.*choose from"),
        (["testapp.Product", "--operation", "update"], "update.*choose from"),
        (["testapp.Product", "--format", "xml"], "xml.*choose from"),
    ],
)
def test_what_makes_no_sense_is_refused_with_a_hint(arguments, message):
    with pytest.raises(CommandError, match=message):
        output_of(*arguments)


def test_an_alias_from_a_program_is_checked_too():
    with pytest.raises(CommandError, match=r"no database 'nope'\. Choose from: default, other"):
        call_command("explain_invalidation", "testapp.Product", database="nope")


def test_a_database_that_refuses_is_one_clear_line():
    with transaction.atomic():
        with connections["default"].cursor() as cursor:
            cursor.execute("ALTER TABLE testapp_counter RENAME TO gone")
        with pytest.raises(
            CommandError, match=r"'default' does not answer the question: .*counter"
        ):
            output_of("testapp.Counter", "1")
        transaction.set_rollback(True)
    assert not Counter.objects.exists()


LEARNED = {
    "shop.queries.stock_list": ["testapp.product"],
    "page:shop.views.product": ["category:*"],
    "block:shop/base.html:menu": ["testapp.product:*", "testapp.tag"],
    "page:shop.views.tags": ["testapp.tag"],
}


def test_what_may_become_stale_is_named(product):
    get_store().count({}, learned=LEARNED)
    expected = [name for name in LEARNED if name != "page:shop.views.tags"]
    assert found("testapp.Product", "42")["dependent"] == expected
    text = "\n  what may become stale\n    {}\n    {}\n    {}\n"
    assert output_of("testapp.Product", "42").endswith(text.format(*expected))
    assert explain(Product.objects.get(pk=42)).dependent() == expected


def test_during_an_outage_it_says_what_it_does_not_know(product, down):
    note = "known of this process only"
    assert note in output_of("testapp.Product", "42")
    assert note in found("testapp.Product", "42")["notes"][-1]


def test_what_is_cached_stays_and_nothing_is_counted(product):
    before = get_store().counters()
    with delivered() as deliveries:
        output_of("testapp.Product", "42")
        output_of("--sql", "UPDATE testapp_product SET stock = 1 WHERE id = 42")
    assert deliveries == []
    assert get_store().counters() == before


def test_the_help_teaches_with_examples(capsys):
    with pytest.raises(SystemExit) as exit_:
        output_of("--help")
    text = capsys.readouterr().out
    assert exit_.value.code == 0
    assert "\n  explain_invalidation shop.Product 42\n      a write to this row" in text
    assert "next %s in the statement" in text
    assert text.index("--sql") < text.index("--settings")


def test_in_a_shell_an_answer_exits_with_zero_and_needs_no_server():
    result = shell("explain_invalidation", "testapp.Product", REDIS_URL="unix:///nobody.sock")
    assert result.returncode == 0, result.stderr
    assert "testapp.product:*" in result.stdout


@pytest.mark.parametrize("arguments", [["testapp.Prodct"], [], ["testapp.Product", "x"]])
def test_in_a_shell_a_mistake_is_one_clear_line_and_exit_status_one(arguments):
    # The settings of the tests have a warning of their own: their cache is waited for so long.
    result = shell("explain_invalidation", *arguments, "--skip-checks")
    assert result.returncode == 1
    assert result.stderr.startswith("CommandError: ")
    assert result.stdout == ""


def test_in_a_shell_bytes_that_are_no_text_are_no_traceback():
    result = shell("explain_invalidation", "--sql", "SELECT \udcff FROM testapp_product")
    assert result.returncode == 0, result.stderr
    assert "SELECT ? FROM testapp_product" in result.stdout


def test_the_output_in_the_documentation_is_what_is_printed():
    category = baker.make(Category, pk=3)
    for pk in (42, 43):
        baker.make(Product, pk=pk, category=category)
    section = PAGE.read_text().split("\n## `explain_invalidation`\n")[1].split("\n## ")[0]
    examples = re.findall(r"^\$ python manage.py (.+)\n((?:[^$`].*\n)+)", section, re.MULTILINE)
    assert len(examples) == 4
    with registry.override(Product, ProductRule):
        for number, (command, expected) in enumerate(examples):
            get_store().reset_counters()
            get_store().count({}, learned={} if number else LEARNED)
            typed = command.replace("shop.", "testapp.").replace("shop_", "testapp_")
            printed = output_of(*shlex.split(typed)[1:]).replace(__name__, "shop.invalidation")
            printed = printed.replace("testapp", "shop").replace(
                "ProductRule", "ProductInvalidation"
            )
            assert printed == expected
