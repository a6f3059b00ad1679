"""A block is another one when a template that it uses is another one."""

import sys
from types import ModuleType

import pytest
from django.template import Context, Engine, Library

pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])


def test_another_text_is_another_block(site):
    site.write(page="{% cached %}one{% endcached %}")
    assert site.render("page") == "one"
    site.write(page="{% cached %}two{% endcached %}")
    assert site.render("page") == "two"


def test_the_text_of_an_included_template_is_an_input(site):
    site.write(
        page="{% cached %}{% seen %}{% include name %}{% endcached %}", part="one", other="x"
    )
    assert site.render("page", name="part") == "one"
    site.write(other="y")
    assert not site.rendered("page", name="part")
    site.write(part="two")
    assert site.render("page", name="part") == "two"


def test_an_included_template_is_found_though_it_was_rendered_before(site):
    site.write(
        page="{% for x in xs %}{% cached %}{% include 'part' %}{% endcached %}{% endfor %}",
        part="one {{ x }} ",
    )
    assert site.render("page", xs="12") == "one 1 one 2 "
    site.write(part="two {{ x }} ")
    assert site.render("page", xs="12") == "two 1 two 2 "


def test_a_template_that_was_not_there_is_an_input(site):
    site.write(page="{% cached %}{% include names %}{% endcached %}", general="general")
    assert site.render("page", names=["special", "general"]) == "general"
    site.write(special="special")
    assert site.render("page", names=["special", "general"]) == "special"


def test_a_template_in_a_template_is_an_input(site):
    site.write(
        page="{% cached %}{% include 'child' %}{% endcached %}",
        child="{% extends 'base' %}{% block x %}child {{ block.super }}{% endblock %}",
        base="[{% block x %}base {% include 'part' %}{% endblock %}]",
        part="one",
    )
    assert site.render("page") == "[child base one]"
    site.write(part="two")
    assert site.render("page") == "[child base two]"
    site.write(base="({% block x %}base{% endblock %})")
    assert site.render("page") == "(child base)"


def test_a_block_in_a_base_template_is_not_shared_by_its_children(site):
    site.write(
        base="{% cached %}{% seen %}<{% block x %}base{% endblock %}>{% endcached %}",
        a="{% extends 'base' %}{% block x %}a{{ block.super }}{% endblock %}",
        b="{% extends 'base' %}{% block x %}b{% endblock %}",
        c="{% extends 'b' %}",
    )
    for _ in range(2):
        found = [site.render(name) for name in ("a", "b", "c", "base")]
        assert found == ["<abase>", "<b>", "<b>", "<base>"]
    assert not any(site.rendered(name) for name in ("a", "b", "c", "base"))


def test_a_block_in_a_base_template_that_has_no_blocks_is_shared(site):
    site.write(
        base="{% cached %}{% seen %}menu{% endcached %}{% block x %}{% endblock %}",
        a="{% extends 'base' %}{% block x %}a{% endblock %}",
        b="{% extends 'base' %}{% block x %}b{% endblock %}",
    )
    assert site.render("a") == "menua"
    assert not site.rendered("b")


def test_a_block_in_a_block_of_a_child(site):
    site.write(
        base="<{% block x %}base {{ name }}{% endblock %}>",
        a="{% extends 'base' %}{% block x %}{% cached %}{% seen %}a {{ block.super }}"
        "{% endcached %}{% endblock %}",
        b="{% extends 'a' %}{% block x %}b {{ block.super }}{% endblock %}",
    )
    for _ in range(2):
        assert site.render("a", name=1) == "<a base 1>"
        assert site.render("b", name=1) == "<b a base 1>"
    assert not site.rendered("a", name=1)
    site.write(base="<{% block x %}other {{ name }}{% endblock %}>")
    assert site.render("a", name=1) == "<a other 1>"


def test_two_engines_do_not_share_what_they_do_not_have_in_common(site):
    site.write(page="{% cached %}{% include 'part' %}{% endcached %}", part="one")
    first = site.engine
    site.sources = {**site.sources, "part": "two"}
    site.restart()
    assert site.render("page") == "two"
    site.engine = first
    assert site.render("page") == "one"


def test_templates_without_a_name(site):
    for text in ("one", "two", "one"):
        template = site.engine.from_string(f"{{% cached %}}{text}{{% endcached %}}")
        assert template.render(Context()) == text


def test_two_engines_do_not_share_what_libraries_of_one_name_make_of_it(monkeypatch):
    sources = {"page": "{% cached %}{% include 'part' %}{% endcached %}"}
    sources["part"] = "{% load greetings %}{% greet %}"
    for word in ("Hello", "Bye", "Hello"):
        library = ModuleType(f"greetings_{word}")
        vars(library)["register"] = Library()
        vars(library)["register"].simple_tag(lambda word=word: word, name="greet")
        monkeypatch.setitem(sys.modules, library.__name__, library)
        engine = Engine(
            loaders=[("django.template.loaders.locmem.Loader", sources)],
            libraries={"greetings": library.__name__},
            builtins=["cache_invalidation.templatetags.cache_invalidation"],
        )
        assert engine.get_template("page").render(Context()) == word


def test_two_blocks_of_one_text_are_not_one_block(site):
    block = "{% cached %}{% cycle c %}{% endcached %}"
    never = "{{% if no %}}{{% cycle '{}' 'z' as c %}}{{% endif %}}"
    site.write(page=never.format("a") + block + never.format("b") + block)
    assert [site.render("page") for _ in range(3)] == ["ab"] * 3


def test_a_part_of_a_template_can_be_rendered(site):
    site.write(page="{% cached %}{{ name }}{% endcached %}")
    nodes = site.engine.get_template("page").nodelist
    assert [nodes.render(Context({"name": name})) for name in ("Ann", "Bob")] == ["Ann", "Bob"]
