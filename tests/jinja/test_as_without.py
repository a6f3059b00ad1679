"""What is in a block shows what it shows without the block."""

import re
from typing import Any

import pytest

SOURCES = [
    "{% macro m() %}{% cached %}{{ caller() }}{% endcached %}{% endmacro %}"
    "{% call m() %}{{ a }}{% endcall %}",
    "{% macro m() %}{% cached %}{{ varargs }}{{ kwargs }}{% endcached %}{% endmacro %}"
    "{{ m(a, b=a) }}",
    "{% macro m() %}{% cached %}{% cached %}{{ varargs }}{% endcached %}{% endcached %}"
    "{% endmacro %}{{ m(a) }}",
    "{% cached %}{{ kwargs.a }}{{ caller }}{% endcached %}",
    "{% cached %}{% macro m() %}{{ varargs }}{{ caller() }}{% endmacro %}"
    "{% call m(a) %}x{% endcall %}{% endcached %}",
    "{% cached %}{% include 'row.html' without context %}{% endcached %}",
    "{% cached %}{% if a %}{% include ['row.html'] without context %}{% endif %}{% endcached %}",
    "{% for x in (1, 2, 3) %}{% cached %}{{ x }}{% if x > 1 %}{% break %}{% endif %}"
    "{% endcached %}{% endfor %}",
    "{% for x in (1, 2, 3) %}{% cached %}{% if x == a %}{% continue %}{% endif %}{{ x }}"
    "{% endcached %}{% endfor %}",
    "{% cached %}{% for x in (1, 2, 3) %}{{ x }}{% break %}{% endfor %}{% endcached %}",
    "{% cached %}{% set caller = 1 %}{{ caller }}{% endcached %}",
]


@pytest.mark.parametrize("source", SOURCES, ids=range(len(SOURCES)))
def test_a_block_shows_what_it_shows_without(site: Any, source: str) -> None:
    site.sources["row.html"] = "row {{ a }}"
    plain = site.env.from_string(re.sub(r"{% (end)?cached %}", "", source))
    for value in (1, 2, 1):
        names: dict[str, Any] = {"a": value, "kwargs": {"a": value}, "caller": "somebody"}
        assert site.render(source, **names) == plain.render(**names)


@pytest.mark.parametrize(
    ("number", "reason"), [(0, "opaque"), (1, "opaque"), (5, "template"), (7, "state")]
)
def test_why_it_is_not_stored_is_counted(site: Any, number: int, reason: str) -> None:
    site.sources["row.html"] = "row"
    site.render(SOURCES[number], a=1)
    assert site.reasons() == {reason}
