"""Random templates, visitors and writes: what a project could do with blocks."""

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

NAMES = ("a", "b", "rows", "row", "text")
LANGUAGES = ("en", "de")

#: What stands in the place of the tags of a block; see `Program.sources`.
OPEN, CLOSE = "{% cached %}", "{% endcached %}"

_LEAVES = (
    *("{{ a }}", "{{ b }}", "{{ text }}", "{{ row.name }}", "{{ row.category.name }}", "-"),
    *("{{ forloop.counter }}", "{{ forloop.parentloop.counter }}", "{{ x }}", "{{ nothing }}"),
    *("{{ request.GET.q }}", "{{ user.username }}", "{% look_up 'a' %}", "{% look_up 'b' as a %}"),
    *(
        "{% cycle 'k' 'l' 'm' %}",
        "{% cycle a b %}",
        "{{ 1234.5|floatformat:2 }}",
        "{{ block.super }}",
    ),
    *("{% for r in rows %}{{ r.name }}{% endfor %}", "{% includes 'i' %}", "{{ rows|length }}"),
    *("{% translate 'Yes' %}", "{% ifchanged a %}!{% endifchanged %}", "{% cycle 'p' 'q' as b %}"),
    *("{% regroup rows by name as gs %}{% for g in gs %}{{ g.grouper }}{% endfor %}",),
)
_INCLUDES = (
    *("{% include 'part' %}", "{% include part %}", "{% include 'part' only %}"),
    "{% autoescape off %}{% include 'part' %}{% endautoescape %}{% include 'part' %}",
)
_AROUND = (
    *("{% for x in 'uv' %}|{% endfor %}", "{% if a %}|{% else %}-{% endif %}", OPEN + "|" + CLOSE),
    *("{% with a=b %}|{% endwith %}", "{% for row in rows %}|{% endfor %}", OPEN + "|" + CLOSE),
    *("{% autoescape off %}|{% endautoescape %}", "{% if user.is_staff %}|{% endif %}"),
)


def _bodies(leaves: Any) -> Any:
    some = st.lists(leaves, min_size=1, max_size=3).map("".join)
    return st.recursive(
        some,
        lambda inner: st.tuples(st.sampled_from(_AROUND), inner, some).map(
            lambda parts: parts[0].replace("|", parts[1]) + parts[2]
        ),
        max_leaves=5,
    )


_PARTS = _bodies(st.sampled_from(_LEAVES))
_PAGES = _bodies(st.sampled_from((*_LEAVES, *_INCLUDES * 2)))


@dataclass(frozen=True)
class Visit:
    """One rendering, by whom and with what."""

    page: str
    names: tuple[tuple[str, Any], ...]
    user: int | None
    query: str
    language: str


@dataclass(frozen=True)
class Write:
    """Something that changes between two renderings."""

    what: str
    value: str


@dataclass(frozen=True)
class Program:
    """Templates, and what is done with them."""

    sources: tuple[tuple[str, str], ...]
    steps: tuple[Visit | Write, ...]


@st.composite
def programs(draw: Any) -> Program:
    """Draw a program."""
    page, part, other = draw(_PAGES), draw(_PARTS), draw(_PARTS)
    base = f"{OPEN}<{{% block x %}}{draw(_PARTS)}{{% endblock %}}>{CLOSE}"
    sources = {
        "page": OPEN + page + CLOSE if draw(st.booleans()) else page,
        "part": OPEN + part + CLOSE if draw(st.booleans()) else part,
        **{"other": other, "base": base, "included": "{{ label }}{{ name }}"},
        "child": f"{{% extends 'base' %}}{{% block x %}}{draw(_PAGES)}{{% endblock %}}",
        "twin": f"{{% extends 'base' %}}{{% block x %}}{draw(_PARTS)}{{% endblock %}}",
    }
    loaded = {
        name: text if text.startswith("{% extends") else "{% load i18n %}" + text
        for name, text in sources.items()
    }
    for name in ("child", "twin"):
        loaded[name] = loaded[name].replace("'base' %}", "'base' %}{% load i18n %}", 1)
    values = st.sampled_from((0, 1, "", "<b>", "two"))
    visits = st.builds(
        Visit,
        page=st.sampled_from(("page", "page", "page", "child", "twin", "base")),
        names=st.fixed_dictionaries(
            {}, optional=dict.fromkeys(("a", "b", "text", "name"), values)
        ).map(lambda found: tuple(found.items())),
        user=st.sampled_from((None, 0, 1)),
        query=st.sampled_from(("", "1")),
        language=st.sampled_from(LANGUAGES),
    )
    texts = st.sampled_from(("Ann", "Bob", "<i>"))
    writes = st.builds(
        Write, st.sampled_from(("row", "category", "user", "part", "new", "none")), texts
    )
    # The same few visitors come again, or nothing would be a hit.
    regulars = draw(st.lists(visits, min_size=1, max_size=4))
    steps = draw(
        st.lists(
            st.one_of(st.sampled_from(regulars), st.sampled_from(regulars), writes),
            min_size=4,
            max_size=12,
        )
    )
    return Program(tuple(loaded.items()), tuple(steps))
