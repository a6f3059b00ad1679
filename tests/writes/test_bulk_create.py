"""`bulk_create`, which knows the rows that its statements do not tell."""

from uuid import uuid4

import pytest
from django.db import IntegrityError, connection, connections, transaction
from django.db.models import Value
from django.db.models.functions import Upper

from cache_invalidation import ModelInvalidation, cached, registry
from tests.testapp.models import Category, Counter, Product, Tag, Voucher
from tests.testapp.unusual import Generated, Mail

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "sqlite"])


class Grouped(ModelInvalidation):
    tags = ["group:{group}"]


@pytest.fixture
def counters(using):
    return Counter.objects.using(using)


@cached(name="value by key")
def value_of(pk, using):
    return Counter.objects.using(using).filter(pk=pk).values_list("value", flat=True).first()


@cached(name="names in a group")
def names_in(group, using):
    found = Counter.objects.using(using).filter(group=group)
    return list(found.order_by("name").values_list("name", flat=True))


@pytest.mark.parametrize("is_atomic", [False, True], ids=["autocommit", "atomic"])
def test_the_rows_and_their_values_are_named(counters, using, is_atomic, deliveries):
    def create():
        new = [Counter(name=f"{number}", group=number) for number in range(2)]
        if is_atomic:
            with transaction.atomic(using=using):
                return counters.bulk_create(new)
        return counters.bulk_create(new)

    with registry.override(Counter, Grouped):
        rows = create()
        assert all(row.pk for row in rows)
        keys = {f"testapp.counter:{row.pk}" for row in rows}
        assert deliveries.tags == {"testapp.counter", *keys, "group:0", "group:1"}
        assert len(deliveries) == 1
    deliveries.clear()
    counters.bulk_create([Counter(name="x", pk=4000)])
    assert deliveries.tags == {"testapp.counter", "testapp.counter:4000"}


def test_nothing_to_create_invalidates_nothing(counters, deliveries):
    assert counters.bulk_create([]) == []
    assert deliveries == []


def test_rows_that_come_from_a_generator_are_created_and_named(counters, using):
    assert names_in(1, using) == []
    created = counters.bulk_create(Counter(name=name, group=1) for name in "ab")
    assert [row.name for row in created] == ["a", "b"]
    assert names_in(1, using) == ["a", "b"]


def test_a_row_that_was_looked_for_in_vain_is_found(counters, using):
    assert value_of(77, using) is None
    counters.bulk_create([Counter(pk=77, name="a", value=5)])
    assert value_of(77, using) == 5


def test_rows_in_conflict_that_stay_as_they_are(counters, using, deliveries):
    # Keys that no sequence comes to, or the last row would be in conflict as well.
    counters.create(pk=1001, name="a", value=1)
    assert (value_of(1001, using), value_of(1002, using)) == (1, None)
    counters.bulk_create(
        [Counter(pk=1001, name="a", value=9), Counter(pk=1002, name="b", value=2)],
        ignore_conflicts=True,
    )
    assert (value_of(1001, using), value_of(1002, using)) == (1, 2)
    deliveries.clear()
    counters.bulk_create([Counter(name="c")], ignore_conflicts=True)
    assert deliveries.tags == {"testapp.counter", "testapp.counter:*"}


class ByKey(ModelInvalidation):
    tags = ["counter by key:{pk}", "of group:{group}"]


class ByKeyInCode(ModelInvalidation):
    families = ["counter by key"]

    def get_tags(self, change):
        named = {f"of group:{row.group}" for row in change.instances}
        return named | {f"counter by key:{row.pk}" for row in change.instances}


class ByKeyIfKnown(ByKeyInCode):
    families = []

    def get_tags(self, change):
        return super().get_tags(change) if change.is_known else ["counter by key:*", "of group:*"]


@pytest.mark.parametrize("declaration", [ByKey, ByKeyInCode, ByKeyIfKnown])
def test_a_row_whose_key_nobody_knows_is_any_row_of_what_names_it_by_its_key(
    using, deliveries, declaration
):
    with registry.override(Counter, declaration):
        Counter.objects.using(using).bulk_create(
            [Counter(name="c", group=3)], ignore_conflicts=True
        )
    assert "counter by key:*" in deliveries.tags
    assert deliveries.family("of group") in ({"of group:3"}, {"of group:*"})
    assert not any(tag.endswith(":None") for tag in deliveries.tags)


@pytest.mark.parametrize("key", ["made up", "none", "the same"])
@pytest.mark.parametrize("declaration", [ModelInvalidation, Grouped])
def test_a_row_in_conflict_that_is_updated_is_another_one(counters, using, key, declaration):
    with registry.override(Counter, declaration):
        old = counters.create(name="a", value=1, group=1)
        assert value_of(old.pk, using) == 1
        assert (names_in(1, using), names_in(2, using)) == (["a"], [])
        keys = {"made up": old.pk + 1000, "none": None, "the same": old.pk}
        new = Counter(pk=keys[key], name="a", value=5, group=2)
        unique = ["pk"] if key == "the same" else ["name"]
        counters.bulk_create(
            [new], update_conflicts=True, unique_fields=unique, update_fields=["value", "group"]
        )
        assert counters.get().pk == old.pk
        assert value_of(old.pk, using) == 5
        assert (names_in(1, using), names_in(2, using)) == ([], ["a"])


def test_more_rows_than_the_limit_are_any_rows(counters, using, deliveries, settings):
    settings.CACHE_INVALIDATION = {"ROW_TAG_LIMIT": 3}
    counters.bulk_create(Counter(name=f"{n}") for n in range(3))
    assert "testapp.counter:*" not in deliveries.tags
    deliveries.clear()
    counters.bulk_create((Counter(name=f"more {n}") for n in range(4)), batch_size=2)
    assert deliveries.tags == {"testapp.counter", "testapp.counter:*"}


def test_values_that_only_the_database_knows_are_read_back(using, deliveries):
    class Doubled(ModelInvalidation):
        tags = ["double:{double}"]

    class Named(ModelInvalidation):
        tags = ["name:{name}"]

    class Address(ModelInvalidation):
        tags = ["address:{address}"]

    with (
        registry.override(Generated, Doubled),
        registry.override(Tag, Named),
        registry.override(Mail, Address),
    ):
        Generated.objects.using(using).bulk_create([Generated(number=4)])
        Tag.objects.using(using).bulk_create([Tag(name=Upper(Value("loud"))), Tag(name="plain")])
        Mail.objects.using(using).bulk_create([Mail(address="A@B")])
    assert deliveries.family("double") == {"double:8"}
    assert deliveries.family("name") == {"name:LOUD", "name:plain"}
    assert deliveries.family("address") == {"address:a@b"}


def test_keys_that_are_made_up_in_python_are_named(using, deliveries):
    key = uuid4()
    (other,) = Voucher.objects.using(using).bulk_create([Voucher(code="x")])
    Voucher.objects.using(using).bulk_create([Voucher(pk=str(key), code="y")])
    assert deliveries.family("testapp.voucher") == {
        f"testapp.voucher:{other.pk}",
        f"testapp.voucher:{key}",
    }


def test_rows_that_are_refused_leave_everything_as_it_was(counters, using, deliveries):
    counters.create(name="a", group=1)
    assert names_in(1, using) == ["a"]
    deliveries.clear()
    new = [Counter(name="b", group=1), Counter(name="a", group=1)]
    with pytest.raises(IntegrityError):
        counters.bulk_create(new, batch_size=1)
    with transaction.atomic(using=using):
        with pytest.raises(IntegrityError), transaction.atomic(using=using):
            counters.bulk_create(new, batch_size=1)
        counters.create(name="c", group=2)
    assert "testapp.counter:*" not in deliveries.tags
    assert (names_in(1, using), names_in(2, using)) == (["a"], ["c"])


def test_related_managers_create_rows_that_are_seen(using):
    category = Category.objects.using(using).create(name="A")

    @cached(name=f"products of a category {using}")
    def products():
        return sorted(category.products.using(using).values_list("name", flat=True))

    assert products() == []
    category.products.bulk_create([Product(name="P", category=category)])
    assert products() == ["P"]


def test_what_a_field_writes_while_rows_are_created_is_seen(counters, using, monkeypatch):
    old = counters.create(name="a")
    assert value_of(old.pk, using) == 0

    def pre_save(instance, add):
        counters.filter(pk=old.pk).update(value=7)
        return 0

    monkeypatch.setattr(Counter._meta.get_field("group"), "pre_save", pre_save)
    counters.bulk_create([Counter(name="b")])
    assert value_of(old.pk, using) == 7


def test_it_takes_one_statement_where_no_rule_looks_at_values(django_assert_num_queries):
    if connection.vendor == "sqlite":
        pytest.skip("is the same")
    with transaction.atomic(), django_assert_num_queries(1):
        Counter.objects.bulk_create([Counter(name="a"), Counter(name="b")])
    with (
        registry.override(Counter, Grouped),
        transaction.atomic(),
        django_assert_num_queries(1),
    ):
        Counter.objects.bulk_create([Counter(name="c"), Counter(name="d")])


def test_nothing_to_create_needs_no_connection(using):
    connections[using].close()
    assert Category.objects.using(using).bulk_create([]) == []
    assert connections[using].connection is None
