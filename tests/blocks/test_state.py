"""What reaches into a block from outside, and what a block leaves."""

import pytest

pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])


def same_each_time(site, page, **names):
    """Render a page three times, and as if nothing was cached; return the text if it is one."""
    site.write(page=page, plain=page.replace("cached", "plain"))
    found = {site.render("plain", **names), *[site.render("page", **names) for _ in range(3)]}
    assert len(found) == 1, found
    return found.pop()


def is_kept(site, **names):
    return not site.rendered("page", **names)


def test_items_of_the_loop_around_are_inputs_one_by_one(site):
    page = "{% for x in xs %}{% cached %}{% seen %}{{ forloop.first }}{% endcached %}{% endfor %}"
    assert same_each_time(site, page, xs="abc") == "TrueFalseFalse"
    assert is_kept(site, xs="abcdefgh")


def test_the_loop_around_the_loop_around_is_an_input(site):
    page = (
        "{% for x in 'ab' %}{% for y in 'ab' %}{% cached %}{% seen %}"
        "{{ forloop.parentloop.counter }}{{ forloop.counter }} {% endcached %}{% endfor %}"
        "{% endfor %}"
    )
    assert same_each_time(site, page) == "11 12 21 22 "
    assert is_kept(site)


def test_a_loop_inside_does_not_look_at_the_one_around(site):
    page = (
        "{% for x in xs %}{% cached %}{% seen %}{% for y in 'ab' %}{{ forloop.counter }}"
        "{% endfor %}{% endcached %}{% endfor %}"
    )
    same_each_time(site, page, xs="ab")
    assert is_kept(site, xs="abcdefgh")


def test_a_cycle_in_a_loop_in_a_block_is_kept(site):
    page = "{% cached %}{% seen %}{% for x in xs %}{% cycle 'a' 'b' %}{% endfor %}{% endcached %}"
    assert same_each_time(site, page, xs="123") == "aba"
    assert is_kept(site, xs="123")


def test_a_cycle_in_a_block_in_a_loop_goes_on(site):
    page = "{% for x in '12345' %}{% cached %}{% cycle 'a' 'b' 'c' %}{% endcached %}{% endfor %}"
    assert same_each_time(site, page) == "abcab"
    assert "state" in site.reasons


def test_a_cycle_that_began_outside_goes_on_inside(site):
    page = (
        "{% for x in '1234' %}{% cycle 'a' 'b' 'c' as c %}{% cached %}{% cycle c %}{{ c }}"
        "{% endcached %} {% endfor %}"
    )
    assert same_each_time(site, page) == "abb caa bcc abb "


def test_a_cycle_that_begins_inside_goes_on_outside(site):
    page = "{% cached %}{% seen %}{% cycle 'a' 'b' 'c' as c %}{% endcached %}{% cycle c %}{{ c }}"
    assert same_each_time(site, page) == "abb"
    assert is_kept(site)


def test_a_cycle_can_be_reset_inside(site):
    page = (
        "{% cached %}{% seen %}{% for x in '12' %}{% cycle 'a' 'b' as c %}{% endfor %}"
        "{% resetcycle c %}{% cycle c %}{% endcached %}{% cycle c %}"
    )
    assert same_each_time(site, page) == "abab"
    assert is_kept(site)


@pytest.mark.parametrize("changed", ["{% ifchanged x %}", "{% ifchanged %}"])
def test_what_changed_in_the_loop_around_is_not_kept(site, changed):
    inside = changed + "{{ x }}{% endifchanged %}"
    page = "{% for x in xs %}{% cached %}" + inside + "{% endcached %}{% endfor %}"
    assert same_each_time(site, page, xs="aabba") == "aba"
    assert site.reasons == {"state"}


def test_what_changes_in_a_loop_inside_is_kept(site):
    page = (
        "{% cached %}{% seen %}{% for x in xs %}{% ifchanged x %}{{ x }}{% endifchanged %}"
        "{% endfor %}{% endcached %}"
    )
    assert same_each_time(site, page, xs="aab") == "ab"
    assert is_kept(site, xs="aab")


def test_names_that_a_block_sets_are_there_after_it(site):
    page = (
        "{% cached %}{% seen %}{% look_up 'y' as x %}{% endcached %}{{ x }}"
        "{% cached %}{% seen %}{{ x }}{% endcached %}"
    )
    assert same_each_time(site, page, y="<") == "&lt;&lt;"
    assert is_kept(site, y="<")


def test_names_that_a_block_sets_are_there_whatever_they_are(site):
    page = (
        "{% cached %}{% seen %}{% pair y 'b' as x %}{{ x.0 }}{% endcached %}"
        "{% for z in x %}{{ z }}{% endfor %}"
    )
    assert same_each_time(site, page, y="a") == "aab"
    site.write(page="{% cached %}{% seen %}{% pair y 'b' as x %}{{ x.0 }}{% endcached %}")
    site.render("page", y="a")
    assert is_kept(site, y="a")


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        ("{{ x|json_script:'x' }}", '<script id="x" type="application/json">["a", "b"]</script>'),
        ("{{ x|pprint }}", "[&#x27;a&#x27;, &#x27;b&#x27;]"),
        ("{% if x >= low %}!{% endif %}", "!"),
        ("{% with x='c' %}{{ x }}{% endwith %}{{ x.0 }}", "ca"),
        ("{% look_up 'y' as x %}{{ x }}", "a"),
    ],
)
def test_names_that_a_block_sets_are_what_it_has_set_and_no_more(site, shown, text):
    page = "{% cached %}{% seen %}{% pair y 'b' as x %}{% endcached %}" + shown
    assert same_each_time(site, page, y="a", low=["a"]) == text
    page = "{% cached %}{% cached %}{% pair y 'b' as x %}{% endcached %}{% endcached %}" + shown
    assert same_each_time(site, page, y="a", low=["a"]) == text


def test_names_that_a_block_sets_are_of_its_language_and_time_zone(site):
    page = (
        "{% load i18n tz %}{% language 'de' %}{% timezone 'Asia/Tokyo' %}{% cached %}{% seen %}"
        "{% translate 'Yes' as y %}{% get_current_timezone as z %}{% pair y z as x %}"
        "{% endcached %}{% endtimezone %}{% endlanguage %}{{ x|join:' ' }}"
    )
    assert same_each_time(site, page) == "Ja Asia/Tokyo"


def test_names_that_a_block_sets_are_of_its_turn_of_a_loop(site):
    page = (
        "{% for i in '12' %}{% if forloop.first %}{% cached %}{% pair forloop.counter 'b' as x %}"
        "{% endcached %}{% else %}{{ x.0 }}{% endif %}{% endfor %}"
    )
    assert same_each_time(site, page) == "1"


def test_groups_of_a_block_are_kept(site):
    page = (
        "{% cached %}{% seen %}{% regroup xs by a as groups %}"
        "{% for g in groups %}{{ g.grouper }}{{ g.list|length }}{% endfor %}{% endcached %}"
    )
    xs = [{"a": 1}, {"a": 1}, {"a": 2}]
    assert same_each_time(site, page, xs=xs) == "1221"
    assert is_kept(site, xs=xs)


def test_a_name_that_was_there_before_can_be_set_inside(site):
    page = "{% cached %}{% look_up 'y' as x %}{{ x }}{% endcached %}{{ x }}"
    assert same_each_time(site, page, x=1, y=2) == "22"


def test_a_cycle_that_sets_a_name_from_outside_is_not_kept(site):
    page = "{% with c='z' %}{% cached %}{% cycle 'a' 'b' as c %}{% endcached %}{{ c }}{% endwith %}"
    assert same_each_time(site, page) == "aa"
    assert site.reasons == {"context"}


def test_a_name_that_is_set_for_the_whole_template_is_not_kept(site):
    page = "{% with z=1 %}{% cached %}{% for_all 'x' y %}{% endcached %}{% endwith %}{{ x }}"
    assert same_each_time(site, page, y="<") == "&lt;"
    assert site.reasons == {"context"}


def test_a_name_that_was_set_for_the_whole_template_is_seen(site):
    page = "{% for_all 'x' y %}{% cached %}{% of_all 'x' %}{{ x }}{% endcached %}"
    site.write(page=page)
    assert [site.render("page", y=y) for y in ("a", "a", "b")] == ["aa", "aa", "bb"]


def test_what_is_no_name_can_be_set(site):
    page = "{% cached %}{% put names 'x' %}a{% endcached %}"
    assert same_each_time(site, page, names=(1, 2)) == "a"
    assert site.reasons == {"context"}
