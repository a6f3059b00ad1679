"""Whose tests are run: Django's own, and those of packages that many projects use beside ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import Final, Literal

Database = Literal["sqlite", "postgresql"]

DATABASES: Final[tuple[Database, ...]] = ("sqlite", "postgresql")

#: What stands for all tests of a suite.
ALL: Final = "all"


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The tests in the source of a distribution, and what runs them."""

    name: str
    distribution: str
    #: The script that runs the tests, with its first arguments; or pytest.
    command: Sequence[str]
    #: Where it is, in the source.
    folder: str = "."
    #: Labels by what they are about; each part is a run of its own.
    parts: Mapping[str, Sequence[str]] = field(default_factory=lambda: {ALL: ()})
    #: Those of the short form.
    short: Sequence[str] = ()
    #: Those in which nothing is committed by way of a model that is there: the app has to be in
    #: place, and has nothing to deliver.
    idle: Sequence[str] = ()
    #: Names of tests that judge by the clock, and fail on a busy machine; `*` stands for anything.
    timed: Sequence[str] = ()

    @property
    def version(self) -> str:
        """The one that is installed."""
        return version(self.distribution)


def _labels(text: str) -> tuple[str, ...]:
    return tuple(text.split())


#: What has no database, no models and no requests is left out. So is `cache`, which replaces the
#: cache that the app is on, and counts what is in there.
DJANGO: Final = Suite(
    name="django",
    distribution="django",
    folder="tests",
    command=("runtests.py", "--settings=test_sqlite", "--parallel=1"),
    parts={
        "writes": _labels(
            """basic bulk_create composite_pk constraints custom_pk delete delete_regress
            field_defaults force_insert_update from_db_value get_or_create mutually_referential
            null_fk order_with_respect_to properties save_delete_hooks signals update
            update_only_fields validation"""
        ),
        "transactions": _labels(
            """async db_utils multiple_database select_for_update servers sessions_tests test_utils
            transaction_hooks transactions"""
        ),
        "inheritance": _labels(
            """model_inheritance model_inheritance_regress proxy_model_inheritance proxy_models
            swappable_models unmanaged_models"""
        ),
        "many-to-many": _labels(
            """m2m_and_m2o m2m_intermediary m2m_multiple m2m_recursive m2m_regress m2m_signals
            m2m_through m2m_through_regress many_to_many"""
        ),
        "relations": _labels(
            """contenttypes_tests filtered_relation foreign_object generic_inline_admin
            generic_relations generic_relations_regress known_related_objects m2o_recursive
            many_to_one many_to_one_null nested_foreign_keys one_to_one prefetch_related
            reverse_lookup select_related select_related_onetoone select_related_regress"""
        ),
        "models": _labels(
            """base custom_columns custom_managers custom_methods datatypes dates datetimes defer
            defer_regress empty empty_models field_deconstruction field_subclassing file_storage
            file_uploads files generic_views get_earliest_or_latest get_object_or_404 indexes
            inline_formsets managers_regress max_lengths model_enums model_fields model_forms
            model_formsets model_formsets_regress model_indexes model_meta model_options
            model_package model_regress model_utils reserved_names str timezones"""
        ),
        "queries": _labels(
            """aggregation aggregation_regress annotations custom_lookups db_functions db_typecasts
            distinct_on_fields expressions expressions_case expressions_window extra_regress lookup
            null_fk_ordering null_queries or_lookups ordering pagination queries queryset_pickle
            raw_query string_lookup xor_lookups"""
        ),
        "fixtures": _labels(
            """fixtures fixtures_model_package fixtures_regress serializers test_client
            test_client_regress test_runner"""
        ),
        "auth": _labels(
            """auth_tests csrf_tests flatpages_tests messages_tests middleware redirects_tests
            sitemaps_tests sites_framework sites_tests syndication_tests view_tests"""
        ),
        "admin": _labels(
            """admin_autodiscover admin_changelist admin_checks admin_custom_urls
            admin_default_site admin_filters admin_inlines admin_ordering admin_registration
            admin_utils admin_views admin_widgets modeladmin"""
        ),
        "migrations": _labels(
            """app_loading apps check_framework custom_migration_operations inspectdb introspection
            invalid_models_tests migrate_signals migration_test_data_persistence migrations
            migrations2 schema user_commands"""
        ),
        "backends": _labels("asgi backends dbshell handlers logging_tests postgres_tests wsgi"),
    },
    short=("writes", "transactions", "inheritance", "many-to-many"),
    idle=("migrations", "backends"),
)

SUITES: Final = {
    suite.name: suite
    for suite in (
        DJANGO,
        Suite(
            name="rest-framework",
            distribution="djangorestframework",
            command=("pytest", "--quiet", "-p", "no:cacheprovider"),
        ),
        Suite(name="filter", distribution="django-filter", command=("runtests.py",)),
        Suite(
            name="simple-history",
            distribution="django-simple-history",
            command=("runtests.py",),
        ),
        Suite(
            name="guardian",
            distribution="django-guardian",
            command=("manage.py", "test"),
            timed=("*.IndexVsNoIndexPerformanceTestCase.*_timing",),
        ),
        Suite(
            name="reversion",
            distribution="django-reversion",
            folder="tests",
            command=("manage.py", "test"),
        ),
    )
}
