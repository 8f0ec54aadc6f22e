"""Shadow rules: decided beside the rules that count, never enforced, and counted where they would differ."""

import tempfile
from pathlib import Path
from typing import Any

import pytest

from lab.cast import ALICE, CAROL
from sp.policy.decision import Verdict
from sp.rule_counters import FOR_ACCOUNTS, FOR_VISITORS, RuleCounts, difference
from tests.sp.gateway.gate import PAGE, Gate, make_gate

RULES: list[dict[str, Any]] = [
    {"path": "/admin/", "allow": {"groups": ["admins"]}, "shadow": True},
    {"path": "/open/", "allow": "signed-in", "shadow": True},
    {"path": "/open/", "allow": "anyone"},
    {"path": "/closed/", "allow": "anyone", "shadow": True},
    {"path": "/closed/", "allow": {"groups": ["admins"]}},
]
Counted = dict[tuple[str, int, str], int]


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return make_gate(tmp_path, RULES)


def counted(gate: Gate) -> Counted:
    return {slot: total for slot, total in gate.core.rule_counts.totals().items() if total}


@pytest.mark.parametrize(
    ("path", "who", "status", "expected"),
    [
        ("/admin/x", ALICE, 200, {("home", 0, "decided"): 1, ("home", 1, "would-deny"): 1}),
        ("/admin/x", CAROL, 200, {("home", 0, "decided"): 1}),
        ("/admin/x", None, 302, {("home", 0, "decided"): 1}),
        ("/open/x", None, 200, {("home", 3, "decided"): 1, ("home", 2, "would-sign-in"): 1}),
        ("/open/x", ALICE, 200, {("home", 3, "decided"): 1}),
        ("/closed/x", ALICE, 403, {("home", 5, "decided"): 1, ("home", 4, "would-allow"): 1}),
        ("/closed/x", None, 302, {("home", 5, "decided"): 1, ("home", 4, "would-allow"): 1}),
        ("/%2561dmin/x", ALICE, 200, {("home", 0, "decided"): 1, ("home", 1, "would-deny"): 1}),
        ("/a/../b", ALICE, 400, {}),
        ("/else", ALICE, 200, {("home", 0, "decided"): 1}),
    ],
)
def test_a_shadow_rule_is_never_enforced_and_what_would_differ_is_counted(
    gate: Gate, path: str, who: object, status: int, expected: Counted
) -> None:
    secret = gate.sign_in(who) if who else None  # type: ignore[arg-type]
    path = path.replace("%25", "%")
    assert gate.ask(path, headers=PAGE, secret=secret).status == status
    assert counted(gate) == expected


def test_a_shadow_rule_for_the_method_that_the_query_names_is_counted(tmp_path: Path) -> None:
    delete = {"path": "/x", "methods": ["DELETE"]}
    rules: list[dict[str, Any]] = [
        {**delete, "allow": "anyone", "shadow": True},
        {**delete, "allow": {"groups": ["admins"]}},
        {"path": "/", "allow": "anyone", "everything": True},
    ]
    gate = make_gate(tmp_path, rules)
    assert gate.ask("/x", "POST", query="_method=DELETE", secret=gate.sign_in(ALICE)).status == 403
    assert counted(gate) == {("home", 2, "decided"): 1, ("home", 1, "would-allow"): 1}


def test_forward_auth_counts_as_well(tmp_path: Path) -> None:
    gate = make_gate(tmp_path, RULES, SP_TRUSTED_PROXIES="127.0.0.1")
    told = {"X-Original-Method": "GET", "X-Original-URL": "http://127.0.0.1:5000/admin/x"}
    assert gate.ask("/sso/auth/nginx", headers=told, secret=gate.sign_in(ALICE)).status == 200
    assert counted(gate) == {("home", 0, "decided"): 1, ("home", 1, "would-deny"): 1}


def test_prometheus_reads_the_differences(gate: Gate) -> None:
    gate.ask("/open/x", headers=PAGE)
    lines = gate.ask("/metrics").text.splitlines()
    shadows = [line for line in lines if line.startswith("lychgate_shadow_decisions_total")]
    assert 'lychgate_shadow_decisions_total{difference="would-sign-in",rule="2",site="home"} 1.0' in shadows
    assert 'lychgate_shadow_decisions_total{difference="would-deny",rule="1",site="home"} 0.0' in shadows


def test_differences_are_listed_by_account(gate: Gate) -> None:
    alice = gate.sign_in(ALICE)
    for path in ("/admin/x", "/admin/y"):
        gate.ask(path, headers=PAGE, secret=alice)
    (found,) = gate.core.rule_counts.latest()
    assert (found.site, found.rule, found.difference, found.now) == ("home", 1, "would-deny", "allow")
    assert (found.account, found.method, found.path, found.times) == (gate.person(ALICE), "GET", "/admin/y", 2)


def test_attack_visitors_fill_no_list_and_choose_no_text_in_it(gate: Gate) -> None:
    gate.ask("/admin/x", headers=PAGE, secret=gate.sign_in(ALICE))
    for number in range(500):
        gate.ask(f"/open/{number}", headers=PAGE)
    found = gate.core.rule_counts.latest()
    assert {(each.account is None, each.path, each.times) for each in found} == {
        (False, "/admin/x", 1),
        (True, "/open/", 500),
    }


def test_the_list_is_bounded_with_many_accounts(gate: Gate) -> None:
    counts, rule = gate.core.rule_counts, gate.core.rulebook.current.home.rules[0]
    for account in range(2000):
        verdicts = Verdict.LET_IN, Verdict.FORBID
        counts.differs(rule, difference("home", 1, verdicts, ("GET", "/admin/" + "é" * 5000, account)))
    assert FOR_ACCOUNTS / 2 < len(counts.latest()) <= FOR_ACCOUNTS + FOR_VISITORS
    assert counted(gate)["home", 1, "would-deny"] == 2000


def test_numbers_of_a_rule_that_stays_survive_a_changed_file(gate: Gate, tmp_path: Path) -> None:
    gate.ask("/open/x", headers=PAGE)
    file = tmp_path / "rules.toml"
    file.write_text('[[rules]]\npath = "/new"\nallow = "anyone"\n' + file.read_text())
    gate.core.reloader.look()
    gate.ask("/open/x", headers=PAGE)
    assert counted(gate) == {("home", 4, "decided"): 2, ("home", 3, "would-sign-in"): 2}


def test_workers_see_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each worker has files named by its process id, and reads those of the others for the same rules."""
    rules = {"home": make_gate(tmp_path, RULES).core.rulebook.current.home.rules}
    folder = Path(tempfile.mkdtemp(dir=tmp_path))
    workers = []
    for pid in (101, 102):
        monkeypatch.setattr("os.getpid", lambda pid=pid: pid)
        counts = RuleCounts(folder)
        counts.adopt(rules)
        counts.of_site("home")(2)
        workers.append(counts)
    assert workers[1].totals()["home", 2, "decided"] == 2
    workers[1].adopt({"home": rules["home"][:1]})
    assert len(list(folder.iterdir())) == 4
    assert workers[1].totals() == {
        ("home", 0, "decided"): 0,
        ("home", 1, "decided"): 0,
        **{("home", 1, f"would-{word}"): 0 for word in ("allow", "sign-in", "deny")},
    }
