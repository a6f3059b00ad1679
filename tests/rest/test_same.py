"""Whatever is asked and written, by whom and in whichever order: the same as without a cache."""

import random
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.contrib.auth.models import User
from rest_framework.views import APIView

from cache_invalidation.reads.dependencies import apart
from cache_invalidation.surfaces.inputs import trail, variants
from cache_invalidation.surfaces.inputs.inputs import Inputs
from tests.rest.conftest import Asker, status, told
from tests.testapp.models import Author, Category, Product, Review

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("goods")]

ROUNDS = 150  # each is asked twice
QUERIES = [
    *("", "", "page=1", "page=2", "page_size=2", "ordering=name", "ordering=-price", "search=1"),
    *("price__gte=1", "price__lte=1&page_size=5", "category=1", "utm_source=x", "format=txt"),
    *("version=v2", "version=v1", "version=v2&limit=1"),
    *("limit=1", "limit=1&offset=1", "cursor=cD0y", "q=1", "q=2"),
]
ACCEPTED = ["application/json", "application/json", "application/json; indent=2", "text/plain"]


class Visitors:
    """Those who ask by turns: nobody, tokens and sessions."""

    def __init__(self, chance: random.Random) -> None:
        self.chance = chance
        names = None, "alice", "bob", "staff"
        self.all = [Asker(name) for name in names] + [Asker("alice", "read"), Asker(), Asker()]
        for asker, name in zip(self.all[-2:], ("bob", "staff"), strict=True):
            asker.client.force_login(User.objects.get(username=name))

    def path(self) -> str:
        chance = self.chance
        pk = chance.choice([product.pk for product in Product.objects.all()] or [0])
        review = chance.choice([review.pk for review in Review.objects.all()] or [0])
        path = chance.choice(
            [
                *("products/", "products/", "categories/", "reviews/", "account/", "plain/"),
                *("total/", "decorated/cheap/", f"products/{pk}/", f"reviews/{review}/"),
            ]
        )
        version = chance.choice(["v1", "v1", "v2"])
        return f"/{version}/{path}?{chance.choice(QUERIES)}"


def write(chance: random.Random) -> None:
    """Change something or other."""
    product = chance.choice(list(Product.objects.all()) or [Product.objects.create(name="new")])
    rating = chance.randrange(3)
    author = f"{chance.choice(['alice', 'bob'])}:{rating}"
    user = User.objects.filter(username=chance.choice(["alice", "bob"]))
    writes: list[Callable[[], Any]] = [
        lambda: Product.objects.filter(pk=product.pk).update(price=chance.randrange(3)),
        lambda: Product.objects.create(name=f"product {chance.randrange(9)}"),
        product.delete,
        lambda: Category.objects.all()[0].products.update(stock=chance.randrange(99)),
        lambda: Review.objects.filter(rating=rating).update(text=str(chance.random())),
        lambda: Author.objects.create(name=author),
        lambda: Author.objects.filter(name=author).delete(),
        lambda: user.update(is_staff=chance.random() < 0.5),
    ]
    chance.choice(writes)()


def differences(seed: int, rounds: int = ROUNDS) -> tuple[list[str], Counter[str]]:
    """Ask and write at random until something is wrong; return what, and what came from where."""
    trail.steps.clear()
    variants.forget()
    wrong: list[str] = []
    chance, seen = random.Random(seed), Counter[str]()
    visitors = Visitors(chance)
    for number in range(rounds):
        if wrong:
            break
        path, accepted = visitors.path(), chance.choice(ACCEPTED)
        for asker in chance.sample(visitors.all, 2):
            right = told(asker.uncached(path, Accept=accepted))
            found = asker.get(path, Accept=accepted)
            seen[status(found)] += 1
            if told(found) != right:
                wrong.append(f"{number}: {path}: {told(found)}, and not {right}")
        if chance.random() < 0.15:
            write(chance)
    return wrong, seen


@pytest.mark.parametrize("seed", [1, 2])
def test_everybody_gets_what_they_would_get_without_a_cache(seed):
    wrong, seen = differences(seed)
    assert wrong == []
    assert seen["hit"] > ROUNDS / 3
    assert seen["fwd=miss; stored"] > ROUNDS / 10


def _forget(*forgotten: str) -> Callable[[pytest.MonkeyPatch], None]:
    original = Inputs.look_by

    def look_by(self: Inputs, name: str, portrait: Callable[[], str]) -> None:
        if name not in forgotten:
            original(self, name, portrait)

    return lambda monkeypatch: monkeypatch.setattr(Inputs, "look_by", look_by)


def _forget_object_permissions(monkeypatch: pytest.MonkeyPatch) -> None:
    original = APIView.check_object_permissions

    def check(self: APIView, request: Any, obj: Any) -> None:
        with apart(), _unrecorded(request), _unrecorded(request._request):
            original(self, request, obj)

    monkeypatch.setattr(APIView, "check_object_permissions", check)


@contextmanager
def _unrecorded(request: Any) -> Iterator[None]:
    held, key = object.__getattribute__(request, "__dict__"), "_cache_invalidation_recording"
    record = held.pop(key, None)
    try:
        yield
    finally:
        if record is not None:
            held[key] = record


@pytest.mark.slow
@pytest.mark.parametrize(
    "sabotage",
    [
        pytest.param(_forget("rest.user"), id="user"),
        pytest.param(_forget("rest.auth"), id="token"),
        pytest.param(_forget("rest.renderer", "rest.media_type"), id="renderer"),
        pytest.param(_forget("rest.version"), id="version"),
        pytest.param(_forget("GET.q"), id="parameter"),
        pytest.param(_forget_object_permissions, id="object permission"),
    ],
)
def test_whatever_is_forgotten_is_found(monkeypatch, sabotage):
    sabotage(monkeypatch)
    assert any(differences(seed, ROUNDS)[0] for seed in range(1, 21))
