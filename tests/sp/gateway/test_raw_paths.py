"""The path as the request line spells it counts beside the one that servers decode."""

from collections.abc import Callable
from typing import Any

import pytest

from lab.cast import ALICE, CAROL
from sp.policy.raw_path import other_spellings, spelled
from tests.sp.gateway.gate import PAGE, Gate

RULES: list[dict[str, Any]] = [
    {"path": "/public/", "allow": "anyone"},
    {"path": "/café/", "allow": "anyone"},
    {"path": "/a b/", "allow": "anyone"},
    {"path": "/admin/", "allow": {"groups": ["admins"]}},
]
KEYS = pytest.mark.parametrize("key", ["RAW_URI", "REQUEST_URI"])


@pytest.fixture
def gate(make: Callable[..., Gate]) -> Gate:
    return make(RULES, SP_TRUSTED_PROXIES="127.0.0.1")


def ask(gate: Gate, key: str, target: str, path: str, **environ: Any) -> int:
    """Ask for *target* as a server hands it over that decodes it to *path*; return the status."""
    return gate.ask(path, headers=PAGE, **{key: target.encode().decode("latin-1"), **environ}).status


@KEYS
@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/public%2fx", "/public/x"),
        ("/public%2Fx?a=b", "/public/x"),
        ("/%70ublic/x", "/public/x"),
        ("/public%2f", "/public/"),
        ("http://127.0.0.1:5000/public%2fx", "/public/x"),
        ("HTTP://evil.example/public%2fx?y", "/public/x"),
        ("/public%252fx", "/public%2fx"),
        ("/p/../public%2fx", "/public/x"),  # a server that cleans up what it decodes
        ("/elsewhere", "/public/x"),  # one that rewrites it
        ("http://127.0.0.1:5000", "/public/"),
    ],
)
def test_attack_an_encoded_slash_passes_no_rule_for_the_plain_one(gate: Gate, key: str, target: str, path: str) -> None:
    assert ask(gate, key, target, path) in (302, 400)


@KEYS
@pytest.mark.parametrize(
    ("target", "path"),
    [
        ("/public/x", "/public/x"),
        ("/public/x?a=%2f&b=/../", "/public/x"),
        ("/public/a%2fb", "/public/a/b"),
        ("/public/%41", "/public/A"),
        ("/caf%C3%A9/x", "/café/x"),
        ("/café/x", "/café/x"),
        ("/a%20b/x", "/a b/x"),
        ("/public/%3Fx%23", "/public/?x#"),
        ("/public/100%25", "/public/100%"),
        ("http://127.0.0.1:5000/public/x?a", "/public/x"),
    ],
)
def test_a_path_that_can_be_spelled_in_no_other_way_meets_its_rule(
    gate: Gate, key: str, target: str, path: str
) -> None:
    assert ask(gate, key, target, path) == 200


@KEYS
@pytest.mark.parametrize("target", ["/public//x", "//public/x", "/public/./x", "/public/x#/../y", "public/x", "*", ""])
def test_attack_a_server_that_cleans_up_hides_no_ambiguous_path(gate: Gate, key: str, target: str) -> None:
    assert ask(gate, key, target, "/public/x") == 400


def test_both_keys_count_where_a_server_sets_both(gate: Gate) -> None:
    for plain, raw in (("RAW_URI", "REQUEST_URI"), ("REQUEST_URI", "RAW_URI")):
        assert ask(gate, raw, "/public%2fx", "/public/x", **{plain: "/public/x"}) == 302


def test_no_header_says_how_the_path_was_spelled(gate: Gate) -> None:
    told = {**PAGE, "RAW-URI": "/public/x", "Request-Uri": "/public/x", "X-Raw-Uri": "/public/x"}
    assert gate.ask("/public/x", headers=told, RAW_URI="/public%2fx").status == 302
    assert gate.ask("/public/x", headers={**PAGE, "RAW-URI": "/admin/x"}, RAW_URI="/public/x").status == 200


@pytest.mark.parametrize(
    ("mount", "target", "path", "status"),
    [
        ("/app", "/app/public/x", "/public/x", 200),
        ("/app", "/app/public%2fx", "/public/x", 302),
        ("/app", "/%61pp/public/x", "/public/x", 200),
        ("/app", "/app%2fpublic/x", "/public/x", 400),
        ("/app", "/public/x", "/public/x", 200),  # a proxy took the mount point away before us
        ("/app", "/public%2fx", "/public/x", 302),
        ("/café", "/caf%C3%A9/public/x", "/public/x", 200),
        ("/public", "/public/admin/x", "/admin/x", 302),
        ("/public", "/public%2fx", "/x", 400),
        ("/app", "/app", "", 302),
    ],
)
def test_a_mount_point_is_left_out_of_both(gate: Gate, mount: str, target: str, path: str, status: int) -> None:
    script_name = mount.encode().decode("latin-1")
    assert ask(gate, "RAW_URI", target, path, SCRIPT_NAME=script_name) == status


def test_the_strictest_reading_counts_for_a_signed_in_person_too(gate: Gate) -> None:
    alice, carol = gate.sign_in(ALICE), gate.sign_in(CAROL)
    assert gate.ask("/admin/x", headers=PAGE, secret=alice, RAW_URI="/admin%2fx").status == 403
    assert gate.ask("/x", headers=PAGE, secret=alice, RAW_URI="/admin/x").status == 403
    assert gate.ask("/admin/x", headers=PAGE, secret=carol, RAW_URI="/admin%2fx").status == 200


@pytest.mark.parametrize(("target", "status"), [("/public%2fx", 302), ("/%70ublic/x", 302), ("/public/a%2fb", 200),
                                                ("/caf%C3%A9/x", 200), ("/a%20b/x", 200)])  # fmt: skip
def test_attack_an_encoded_slash_passes_no_rule_behind_a_proxy_either(gate: Gate, target: str, status: int) -> None:
    forward = {"X-Forwarded-Method": "GET", "X-Forwarded-Proto": "http", "X-Forwarded-Host": "127.0.0.1:5000"}
    answer = gate.ask("/sso/auth/forward", headers={**PAGE, **forward, "X-Forwarded-Uri": target})
    assert answer.status == status
    nginx = {"X-Original-Method": "GET", "X-Original-URL": f"http://127.0.0.1:5000{target}"}
    assert gate.ask("/sso/auth/nginx", headers={**PAGE, **nginx}).status == (401 if status == 302 else 200)


def test_what_needs_no_escape_keeps_it_and_what_needs_one_loses_it() -> None:
    assert spelled("/%61%2F%2e%3b%40/%20%C3%A9%25%5C%00") == "/%61%2F%2e%3b%40/ é%\\\x00"
    assert spelled("/\xc3\xa9") == "/é"
    assert spelled("/\u0100") == ""


def test_a_server_that_says_nothing_adds_no_reading() -> None:
    assert other_spellings({"PATH_INFO": "/x"}, "/x") == ()
