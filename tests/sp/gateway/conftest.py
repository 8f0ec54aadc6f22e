"""The gate of these tests: rules of every kind, sessions asked for at each request."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.sp.gateway.gate import Gate, make_gate

RULES: list[dict[str, Any]] = [
    {"path": "/public/", "methods": ["GET", "HEAD"], "allow": "anyone"},
    {"path": "/exact", "allow": "anyone"},
    {"path": "/admin/", "allow": {"groups": ["admins"]}},
    {"path": "/for-carol/", "allow": {"users": ["Carol@Example.com"]}},
    {"path": "/partners/", "allow": {"email_domains": ["partner.example"]}},
]


# Tests of what both ways into the application's process must do alike.
ASKED_BOTH_WAYS = (
    "test_cookies_of_the_application",
    "test_decisions",
    "test_hosts_and_proxies",
    "test_identity",
    "test_raw_paths",
    "test_remembering",
    "test_sites",
)


ASKED_AT_ONCE = ("test_forward_auth",)  # the same for WSGI and ASGI


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run the tests of these modules with the WSGI and the ASGI middleware, or at once too."""
    module = metafunc.module.__name__.rpartition(".")[2]
    if "way" in metafunc.fixturenames and module in (*ASKED_BOTH_WAYS, *ASKED_AT_ONCE):
        other = "at once" if module in ASKED_AT_ONCE else "asgi"
        metafunc.parametrize("way", ["wsgi", other], indirect=True)


@pytest.fixture
def way(request: pytest.FixtureRequest) -> str:
    """The middleware that the test asks: "wsgi", unless its module is one of ASKED_BOTH_WAYS."""
    return getattr(request, "param", "wsgi")


@pytest.fixture
def gate(tmp_path: Path, way: str) -> Gate:
    """A gateway with RULES that caches no session."""
    return make_gate(tmp_path, RULES, way=way)


@pytest.fixture
def make(tmp_path: Path, way: str) -> Callable[..., Gate]:
    """Return the function that makes a gate with settings of the test's own."""
    return lambda rules=RULES, **settings: make_gate(tmp_path, rules, **{"way": way, **settings})
