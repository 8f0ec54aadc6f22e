"""Rules from TOML: what is taken, and every configuration that could surprise, refused at start."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.programs import ROOT, private_environment
from sp.policy.decision import Rule
from sp.policy.rules import RulesRefused, parse_rules, warnings
from sp.routes import Routes

GOOD: dict[str, Any] = {"path": "/reports/", "methods": ["GET", "HEAD"], "allow": {"groups": ["staff"]}}


def mistakes_of(*tables: object, prefix: str = "") -> list[str]:
    with pytest.raises(RulesRefused) as refused:
        parse_rules(list(tables), Routes(prefix))
    return refused.value.mistakes


def test_a_rule_is_read_as_it_is_written() -> None:
    rules = parse_rules([GOOD, {"path": "/x", "allow": "anyone"}], Routes())
    assert rules == (
        Rule("/reports/", frozenset({"GET", "HEAD"}), "members", groups=frozenset({"staff"})),
        Rule("/x", allow="anyone"),
    )


def test_addresses_and_domains_are_compared_without_case() -> None:
    allow = {"users": ["Alice@Example.com"], "email_domains": ["@Partner.Example"]}
    (rule,) = parse_rules([{"path": "/x/", "allow": allow}], Routes())
    assert (*rule.users, *rule.email_domains) == ("alice@example.com", "partner.example")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"path": None}, "begins with /"),
        ({"path": "reports/"}, "begins with /"),
        ({"path": 7}, "begins with /"),
        ({"path": "/reports/*"}, "but patterns are not supported"),
        ({"path": "^/reports/"}, "begins with /"),
        ({"path": "/reports/[a-z]"}, "but patterns are not supported"),
        ({"path": "/reports?tab=1"}, "but patterns are not supported"),
        ({"path": "/reports#top"}, "but patterns are not supported"),
        ({"path": "/a%20b/"}, "decoded"),
        ({"path": "/a/../b"}, "dot segment"),
        ({"path": "/a//b/"}, "dot segment"),
        ({"path": "/a\tb"}, "control character"),
        ({"path": "/a\\b"}, "but patterns are not supported"),
        ({"path": "/sso/"}, "of the gateway itself"),
        ({"path": "/settings/users/"}, "of the gateway itself"),
        ({"path": "/login"}, "of the gateway itself"),
        ({"path": "/settings/", "allow": "anyone"}, "includes /settings/"),
        ({"path": "/.well-known/", "allow": "anyone"}, "includes /.well-known/jwks.json"),
        ({"path": "/access/", "allow": "anyone"}, "includes /access/jwt"),
        ({"path": "/", "allow": "anyone"}, "opens every page"),
        ({"path": "/", "allow": "anyone", "everything": "yes"}, "opens every page"),
        ({"everything": True}, "everything is allowed only with"),
        ({"path": "/x/", "allow": "anyone", "everything": True}, "everything is allowed only with"),
        ({"methods": []}, "at least one method"),
        ({"methods": "GET"}, "must be a list"),
        ({"methods": ["get"]}, "write it in capitals"),
        ({"methods": [1]}, "write it in capitals"),
        ({"allow": None}, "allow must be"),
        ({"allow": "everyone"}, "allow must be"),
        ({"allow": {}}, "allow must be"),
        ({"allow": {"roles": ["x"]}}, "roles is unknown"),
        ({"allow": {"groups": []}}, "at least one string"),
        ({"allow": {"groups": ["", "x"]}}, "at least one string"),
        ({"allow": {"groups": "staff"}}, "at least one string"),
        ({"allow": {"users": ["alice"]}}, "not an e-mail address"),
        ({"allow": {"email_domains": ["*.example.com"]}}, "not a domain"),
        ({"allow": {"email_domains": ["example"]}}, "not a domain"),
        ({"method": ["GET"]}, "method is unknown: a rule has"),
    ],
)
def test_a_rule_that_could_surprise_is_refused(change: dict[str, Any], said: str) -> None:
    table = {name: value for name, value in {**GOOD, **change}.items() if value is not None}
    found = mistakes_of(table)
    assert any(said in mistake for mistake in found), found
    assert all(mistake.startswith("rules[1]: ") for mistake in found)


@pytest.mark.parametrize("tables", [{"path": "/x"}, "none", [["/x"]], [GOOD, 7]])
def test_rules_are_a_list_of_tables(tables: object) -> None:
    with pytest.raises(RulesRefused):
        parse_rules(tables, Routes())


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        ([("/a/", [])], ("/a/", [])),
        ([("/a/", [])], ("/a/b/", ["GET"])),
        ([("/a", [])], ("/a", ["GET"])),
        ([("/", [])], ("/a", [])),
        ([("/a/", ["GET"])], ("/a/b", ["GET"])),
        ([("/a/", ["GET"]), ("/", ["POST"])], ("/a/b", ["POST", "GET"])),
    ],
)
def test_a_rule_that_can_never_be_asked_is_refused(
    earlier: list[tuple[str, list[str]]], later: tuple[str, list[str]]
) -> None:
    tables = [
        {"path": path, "allow": "signed-in", **({"methods": methods} if methods else {})}
        for path, methods in [*earlier, later]
    ]
    assert mistakes_of(*tables)[-1].startswith(f"rules[{len(tables)}]: never applies")
    assert parse_rules(tables[:-1], Routes())


def test_a_rule_that_is_asked_for_some_requests_is_kept() -> None:
    tables = [
        {"path": "/a/", "methods": ["GET"], "allow": "anyone"},
        {"path": "/a/", "allow": "signed-in"},
        {"path": "/a", "allow": "signed-in"},
    ]
    assert len(parse_rules(tables, Routes())) == 3


def test_everything_may_be_public_if_that_is_said_aloud() -> None:
    assert parse_rules([{"path": "/", "allow": "anyone", "everything": True}], Routes())


def test_with_a_prefix_the_gateways_own_addresses_are_below_it() -> None:
    assert parse_rules([{"path": "/settings/", "allow": "anyone"}], Routes("/gate"))
    assert "of the gateway itself" in mistakes_of({"path": "/gate/x", "allow": "anyone"}, prefix="/gate")[0]


def test_a_rule_that_stops_before_the_slash_is_pointed_out() -> None:
    signed_in: dict[str, Any] = {"path": "/area/", "allow": "signed-in"}
    everyone: dict[str, Any] = {"path": "/", "allow": "anyone", "everything": True}
    of_reports = 'the rule for "/reports/" does not cover "/reports" without the slash at the end'
    of_area = 'the rule for "/area/" does not cover "/area" without the slash at the end'
    assert warnings(parse_rules([GOOD], Routes())) == [of_reports]
    assert warnings(parse_rules([GOOD, {**GOOD, "path": "/reports"}, signed_in], Routes())) == []
    assert warnings(parse_rules([signed_in, everyone], Routes())) == [of_area]


def test_at_start_all_mistakes_are_told_at_once_and_nothing_starts(tmp_path: Path) -> None:
    config = tmp_path / "config.toml"
    config.write_text(
        '[[rules]]\npath = "/settings/"\nallow = "anyone"\n'
        '[[rules]]\npath = "/x/*"\nallow = "anyone"\n'
        '[providers.corporate]\nalgorithm = "none"\nsurprise = 1\n'
        "[sevices]\n"
    )
    settings = {
        "SP_INSTANCE": str(tmp_path),
        "SP_SECRET_KEY": "short",
        "SP_CONFIG": str(config),
        "SP_TRUSTED_PROXIES": "0.0.0.0/0,::/0,0.0.0.0/1,10.0.0.0/8,nobody",
        "SP_EXTERNAL_URL": "https://gate.example/path",
        "SP_IDENTITY_HEADERS": "all",
        "SP_SESSION_IDLE": "soon",
        "SP_APP": "no colon",
    }
    done = subprocess.run(
        [sys.executable, str(ROOT / "run_sp.py"), "--port", "1"],
        cwd=tmp_path,
        env=private_environment(settings),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    for said in (
        "includes /settings/",
        "but patterns are not supported",
        "providers.corporate.algorithm",
        "providers.corporate.surprise",
        "sevices",
        "SP_SECRET_KEY",
        "'0.0.0.0/0' would trust every IP address",
        "'::/0' would trust every IP address",
        "'0.0.0.0/1' is too broad",
        "'nobody'",
        "SP_EXTERNAL_URL",
        "SP_IDENTITY_HEADERS",
        "SP_SESSION_IDLE",
        "SP_APP",
    ):
        assert said in done.stderr, (said, done.stderr)
    assert "10.0.0.0/8" not in done.stderr
