"""The pages that Django REST framework makes of the API, for those who try it out."""

import pytest

from cache_invalidation.metrics.counters import counters
from tests.browser.looking import LOOKS

pytestmark = [
    pytest.mark.django_db(transaction=True, databases=["default", "other", "sqlite"]),
    pytest.mark.slow,
]

API = "/api/system/"

looks = pytest.mark.parametrize("look", LOOKS, ids=str)

VIEWS = ["metrics/cache", "cache/registry", "cache/pending"]
ACTIONS = {"cache/invalidate": "invalidate_cache", "cache/reset-metrics": "reset_metrics"}


def send(window, path, body):
    """Type `body` into the form of the page, and send it; return what is answered."""
    window.go(f"{API}{path}/")
    window.find("textarea[name=_content]").fill(body)
    with window.page.expect_response(lambda response: response.request.method == "POST"):
        window.click("button", "POST")
    window.page.get_by_text("POST /api/system").wait_for()
    return window.find(".response-info").inner_text()


@looks
def test_a_superuser_looks_and_acts(window):
    for path in VIEWS:
        assert window.go(f"{API}{path}") == 200
        window.photograph(path.replace("/", "-"))
        assert "HTTP 200 OK" in window.find(".response-info").inner_text()
    answer = send(window, "cache/invalidate", '{"tags": ["homepage"], "reason": "tried out"}')
    window.photograph("invalidated")
    assert "HTTP 200 OK" in answer
    assert "homepage" in answer
    assert "HTTP 200 OK" in send(window, "cache/reset-metrics", "{}")


@pytest.mark.parametrize(
    "permissions",
    [(), ("view_metrics",), ("invalidate_cache",), ("reset_metrics",)],
    ids=lambda names: ",".join(names) or "none",
)
def test_others_see_what_they_may(window, permissions):
    counters.discard()
    for path in VIEWS:
        expected = 200 if "view_metrics" in permissions else 403
        assert window.status(f"{API}{path}") == expected
    for path, permission in ACTIONS.items():
        answer = window.page.context.request.post(f"{API}{path}", data={"tags": ["a"]})
        assert answer.status == 403, "without a CSRF token"
        # 405: who may act gets the form, which is at the address of the action.
        assert window.status(f"{API}{path}") == (405 if permission in permissions else 403)
