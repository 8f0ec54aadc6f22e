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


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """A gateway with RULES that caches no session."""
    return make_gate(tmp_path, RULES)


@pytest.fixture
def make(tmp_path: Path) -> Callable[..., Gate]:
    """Return the function that makes a gate with settings of the test's own."""
    return lambda rules=RULES, **settings: make_gate(tmp_path, rules, **settings)
