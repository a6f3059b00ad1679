"""Whatever is in a template: with blocks that are cached it is what it is without."""

from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.template import RequestContext, TemplateSyntaxError
from django.test import RequestFactory
from django.utils import translation
from hypothesis import HealthCheck, Phase, given, seed, settings

from cache_invalidation.stores import get_store
from cache_invalidation.surfaces.blocks import around, rendering
from cache_invalidation.surfaces.inputs import trail, variants
from tests.blocks import test_inputs
from tests.blocks.programs import Program, Visit, Write, programs
from tests.blocks.rendering import Site
from tests.testapp.models import Category, Product

pytestmark = pytest.mark.django_db(transaction=True, databases=["default"])

PROGRAMS = 300


class Different(AssertionError):
    """A rendering is not what it would be without the cache."""


class Runner:
    """Runs programs, one after the other."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.users = [User.objects.create(username=n, is_staff=n == "u0") for n in ("u0", "u1")]
        self.category = Category.objects.create(name="c")

    def run(self, program: Program) -> None:
        Product.objects.all().delete()
        Product.objects.bulk_create([Product(name=n, category=self.category) for n in ("p", "q")])
        sources = dict(program.sources)
        self.write(sources)
        for step in program.steps:
            if isinstance(step, Visit):
                self.visit(step)
            else:
                self.change(step, sources)

    def write(self, sources: dict[str, str]) -> None:
        plain = {
            f"plain.{name}": text.replace("{% cached %}", "{% plain %}")
            .replace("{% endcached %}", "{% endplain %}")
            .replace("'part'", "'plain.part'")
            .replace("'base'", "'plain.base'")
            for name, text in sources.items()
        }
        self.site.write(**sources, **plain)

    def change(self, step: Write, sources: dict[str, str]) -> None:
        if step.what == "row":
            Product.objects.filter(name__lt="q").update(name=step.value)
        elif step.what == "category":
            Category.objects.update(name=step.value)
        elif step.what == "user":
            User.objects.filter(pk=self.users[1].pk).update(username=step.value)
        elif step.what == "part":
            sources["part"] = f"{step.value}{{{{ b }}}}"
            self.write(sources)
        elif step.what == "new":
            Product.objects.create(name=step.value)

    def visit(self, step: Visit) -> None:
        with translation.override(step.language):
            plain = self.shown(step, "plain.")
            cached = self.shown(step, "")
        if plain != cached:
            raise Different(f"{step} shows {cached!r} instead of {plain!r}")

    def shown(self, step: Visit, prefix: str) -> str:
        request = RequestFactory().get("/", {"q": step.query} if step.query else {})
        pk = None if step.user is None else self.users[step.user].pk
        request.user = AnonymousUser() if pk is None else User.objects.get(pk=pk)
        names: dict[str, Any] = {
            **dict(step.names),
            "rows": Product.objects.order_by("pk"),
            "row": Product.objects.order_by("pk").first(),
            "part": f"{prefix}part",
        }
        template = self.site.engine.get_template(prefix + step.page)
        try:
            return template.render(RequestContext(request, names))
        except TemplateSyntaxError as error:
            return type(error).__name__


def run_programs(site: Site, number: int, by: int, phases: Any) -> None:
    runner = Runner(site)

    @seed(by)
    @settings(
        max_examples=number,
        database=None,
        deadline=None,
        phases=phases,
        suppress_health_check=list(HealthCheck),
    )
    @given(programs())
    def check(program: Program) -> None:
        trail.steps.clear()
        variants.forget()
        runner.run(program)

    check()


@pytest.mark.parametrize("shard", range(3))
def test_what_is_shown_is_what_it_is_without_the_cache(site: Site, shard: int) -> None:
    run_programs(site, PROGRAMS // 3, shard, (Phase.generate, Phase.shrink))
    assert site.counted["hits"] > PROGRAMS // 6
    assert get_store() is not None


def _without(kind: str) -> Any:
    original = around._KINDS[kind]

    def forgotten(self: Any, rest: str) -> str:
        return "" if rest in ("a", "b", "text") or kind != "name" else original(self, rest)

    return forgotten


@pytest.fixture(params=["a name", "the language", "the source", "the user", "the blocks"])
def sabotaged(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget an input."""
    kinds: dict[str, Any] = dict(around._KINDS)
    if request.param == "a name":
        kinds["name"] = _without("name")
    elif request.param == "the source":
        kinds["template"] = _without("template")
        monkeypatch.setattr(around.Around, "source", lambda self, origin: "")
    elif request.param == "the blocks":
        kinds["blocks"] = _without("blocks")
    elif request.param == "the user":
        named = kinds["name"]
        kinds["name"] = lambda self, rest: "" if rest == "user" else named(self, rest)
    else:
        name = "cache_invalidation.surfaces.inputs.always.language_now"
        monkeypatch.setattr(name, lambda: "")
    monkeypatch.setattr(around, "_KINDS", kinds)


@pytest.mark.slow
@pytest.mark.usefixtures("sabotaged")
def test_whoever_forgets_something_is_found_out(site: Site) -> None:
    with pytest.raises(Different):
        run_programs(site, 1000, 1, (Phase.generate,))


def test_nor_is_it_forgotten_whether_text_is_escaped(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    always = vars(rendering)["always"]
    monkeypatch.setattr(
        rendering,
        "always",
        lambda plain, *further: always((*plain[:3], *plain[4:]), *further),
    )
    # It takes thousands of programs until one renders the same block in both ways.
    with pytest.raises(AssertionError):
        test_inputs.test_whether_text_is_escaped_is_an_input(site)
