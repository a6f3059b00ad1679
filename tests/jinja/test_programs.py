"""Random templates with random names, compared with the same without a cache."""

import random
from typing import Any

import pytest
from jinja2 import nodes
from jinja2.ext import Extension

from cache_invalidation.jinja import _pair
from cache_invalidation.surfaces.jinja import around, reading
from cache_invalidation.surfaces.jinja.reading import read
from tests.jinja.conftest import Site, environment

pytestmark = pytest.mark.django_db

PROGRAMS = 60

LEAVES = (
    *(
        "{{ a }}",
        "{{ b|upper }}",
        "{{ rows|length }}",
        "{{ row.name }}",
        "{{ x }}",
        "-",
        "{{ n.m }}",
    ),
    *(
        "{% for r in rows %}{{ r.name }}{{ loop.index }}{{ a }}{% endfor %}",
        "{{ rows|map(attribute='name')|join }}",
    ),
    *(
        "{% include 'part.html' %}",
        "{% include ['none.html', 'part.html'] %}",
        "{{ from_context('b') }}",
    ),
    *(
        "{% import 'macros.html' as m %}{{ m.show(a) }}",
        "{% from 'macros.html' import show with context %}{{ show(b) }}",
    ),
    *(
        "{% set b = a %}{{ b }}",
        "{{ outer(a) }}",
        "{{ loop.index }}",
        "{{ '<'|e }}",
        "{{ a if b else x }}",
    ),
    *("{{ nothing }}", "{% trans %}Yes{% endtrans %}", "{{ rows|selectattr('name')|list|length }}"),
)
AROUND = (
    *(
        "{% if a %}|{% else %}-{% endif %}",
        "{% for row in rows %}|{% endfor %}",
        "{% with a = b %}|{% endwith %}",
    ),
    *(
        "{% cached %}|{% endcached %}",
        "{% cached %}|{% endcached %}",
        "{% filter upper %}|{% endfilter %}",
    ),
    *(
        "{% autoescape false %}|{% endautoescape %}",
        "{% macro outer(x) %}{{ x }}{{ a }}{% endmacro %}|",
    ),
    "{% for x in 'uv' %}|{% endfor %}",
)


class Plain(Extension):
    """The tag, without a cache."""

    tags = {"cached"}

    def parse(self, parser: Any) -> nodes.Node:
        line = next(parser.stream).lineno
        while parser.stream.current.type != "block_end":
            next(parser.stream)
        body = parser.parse_statements(("name:endcached",), drop_needle=True)
        # Jinja2 sees a name in another way once it is used outside, before it is set.
        used = [_pair(name) for name in sorted(read(body, self.identifier).names)]
        call = self.call_method("show", [nodes.Dict(used)])
        return nodes.CallBlock(call, [], [], body).set_lineno(line)

    def show(self, used: Any, caller: Any) -> Any:
        return caller()


def body(chance: random.Random, depth: int = 3) -> str:
    parts = []
    for _ in range(chance.randint(1, 2)):
        if depth and chance.random() < 0.6:
            parts.append(chance.choice(AROUND).replace("|", body(chance, depth - 1), 1))
        else:
            parts.append(chance.choice(LEAVES))
    return "".join(parts)


def value(chance: random.Random) -> Any:
    return chance.choice(["", "x", "<", "y", 0, 1])


def differences(site: Site, seeds: range) -> int:
    """Return how often a random template showed something else than without a cache."""
    plain = environment(site.sources, [Plain])
    found = 0
    for seed in seeds:
        chance = random.Random(seed)
        site.sources["macros.html"] = "{% macro show(x) %}[{{ x }}{{ a }}]{% endmacro %}"
        site.sources["page.html"] = f"{{% cached %}}{body(chance)}{{% endcached %}}{body(chance)}"
        for _ in range(6):
            site.sources["part.html"] = chance.choice(("({{ a }})", "({{ b }}{{ x }})"))
            names = {name: value(chance) for name in "abx"}
            names["rows"] = [{"name": value(chance)} for _ in range(chance.randint(0, 2))]
            names["n"] = {"m": value(chance)}
            shown = [_shown(env, names) for env in (site.env, plain)]
            found += shown[0] != shown[1]
    return found


def _shown(env: Any, names: dict[str, Any]) -> str:
    try:
        return str(env.get_template("page.html").render(**names))
    except Exception as error:
        return repr(error)


def test_a_block_shows_what_it_shows_without_a_cache(site):
    assert differences(site, range(PROGRAMS)) == 0
    assert site.counted["hits"] > PROGRAMS


def no_names(monkeypatch):
    monkeypatch.setattr(reading._Reader, "_name", lambda self, name, bound: None)


def no_templates(monkeypatch):
    monkeypatch.setattr(around.Around, "_included", lambda self, names, parent: iter(()))


def loops_everywhere(monkeypatch):
    monkeypatch.setattr(reading, "_BOUND", {nodes.For: frozenset({"loop", "a", "rows"})})


def anything_called(monkeypatch):
    monkeypatch.setattr(around, "passes_context", lambda function: False)
    monkeypatch.setattr(
        "cache_invalidation.surfaces.jinja.rendering.passes_context", lambda f: False
    )


def no_source(monkeypatch):
    monkeypatch.setattr(reading, "digest", lambda said: "same")


@pytest.mark.parametrize(
    "sabotage", [no_names, no_templates, loops_everywhere, anything_called, no_source]
)
def test_an_input_that_is_forgotten_is_found(site, monkeypatch, sabotage):
    sabotage(monkeypatch)
    assert any(differences(site, range(n, n + 10)) for n in range(0, 2 * PROGRAMS, 10))
