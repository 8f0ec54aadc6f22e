"""Which host names are accepted, and who is trusted to say where a request came from."""

from collections.abc import Callable

import pytest

from lab.cast import ALICE
from tests.sp.gateway.gate import HOST, PAGE, SCRIPT, Gate

HTTPS = "https://gate.example"


@pytest.mark.parametrize(
    "host",
    ["evil.example", f"{HOST}.evil.example", "evil.example:5000", "", "127.0.0.1,evil.example", "user@127.0.0.1", "a b",
     "127.0.0.1/x", "127.0.0.1:5000:5000", "[::1", "127.0.0.1\t", "10.0.0.1"],
)  # fmt: skip
@pytest.mark.parametrize("path", ["/page", "/public/x", "/login", "/sso/start"])
def test_a_foreign_host_is_refused(gate: Gate, host: str, path: str) -> None:
    answer = gate.ask(path, headers={**PAGE, "Host": host}, secret=gate.sign_in(ALICE))
    assert answer.status == 400
    assert answer.seen is None
    assert "has another host name" in answer.text
    assert f"http://{HOST}" in answer.text


def test_a_script_reads_the_reason(gate: Gate) -> None:
    assert gate.ask("/page", headers={**SCRIPT, "Host": "evil.example"}).json["error"] == "host_foreign"


@pytest.mark.parametrize("host", [HOST, "127.0.0.1", "127.0.0.1:80", "localhost:5000", "[::1]:5000", "LOCALHOST"])
def test_this_machines_names_and_any_port_will_do(gate: Gate, host: str) -> None:
    assert gate.ask("/page", headers={**PAGE, "Host": host}, secret=gate.sign_in(ALICE)).status == 200


@pytest.mark.parametrize(
    ("host", "status"), [("gate.example", 302), ("GATE.example:443", 302), ("gate.example.", 302), ("127.0.0.1", 400)]
)
def test_names_are_compared_as_the_net_compares_them(make: Callable[..., Gate], host: str, status: int) -> None:
    gate = make(SP_EXTERNAL_URL=HTTPS)
    assert gate.ask("/page", headers={**PAGE, "Host": host}).status == status


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_is_told_under_any_name(gate: Gate, path: str) -> None:
    assert gate.ask(path, headers={"Host": "10.1.2.3:8080"}).status == 200
    assert gate.ask(path, HTTP_HOST="").status == 200


def test_a_trusted_proxy_names_client_scheme_and_host(make: Callable[..., Gate]) -> None:
    gate = make(SP_TRUSTED_PROXIES="10.0.0.0/8,::1", SP_EXTERNAL_URL=HTTPS)
    told = {
        "Host": "gateway.internal",
        "X-Forwarded-Host": "gate.example",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-For": "6.6.6.6, 192.0.2.7, 10.1.1.1",
    }
    for peer in ("10.2.3.4", "::1", "::ffff:10.9.9.9"):
        seen = gate.ask("/public/x", headers=told, REMOTE_ADDR=peer).seen
        assert seen is not None
        assert seen["REMOTE_ADDR"] == "192.0.2.7"
        assert (seen["wsgi.url_scheme"], seen["HTTP_HOST"]) == ("https", "gate.example")
        assert (seen["SERVER_NAME"], seen["SERVER_PORT"]) == ("gate.example", "443")


@pytest.mark.parametrize("peer", ["192.0.2.1", "", "unix:", "11.0.0.1", "::2", "10.0.0.1.evil"])
def test_nobody_else_does(make: Callable[..., Gate], peer: str) -> None:
    gate = make(SP_TRUSTED_PROXIES="10.0.0.0/8,::1")
    told = {"X-Forwarded-Host": "evil.example", "X-Forwarded-Proto": "https", "X-Forwarded-For": "10.0.0.1"}
    seen = gate.ask("/public/x", headers=told, REMOTE_ADDR=peer).seen
    assert seen is not None
    assert (seen["REMOTE_ADDR"], seen["wsgi.url_scheme"], seen["HTTP_HOST"]) == (peer, "http", HOST)
    assert not any("FORWARDED" in name for name in seen)


def test_a_list_that_makes_no_sense_ends_where_it_begins_to(make: Callable[..., Gate]) -> None:
    gate = make(SP_TRUSTED_PROXIES="10.0.0.0/8")
    for forwarded, client in (("unknown, 10.1.1.1", "10.1.1.1"), ("", "10.0.0.1"), ("<script>", "10.0.0.1")):
        seen = gate.ask("/public/x", headers={"X-Forwarded-For": forwarded}, REMOTE_ADDR="10.0.0.1").seen
        assert seen is not None
        assert seen["REMOTE_ADDR"] == client


def test_a_scheme_or_host_that_is_none_changes_nothing(make: Callable[..., Gate]) -> None:
    gate = make(SP_TRUSTED_PROXIES="10.0.0.0/8")
    told = {"X-Forwarded-Proto": "gopher", "X-Forwarded-Host": "a b"}
    seen = gate.ask("/public/x", headers=told, REMOTE_ADDR="10.0.0.1").seen
    assert seen is not None
    assert (seen["wsgi.url_scheme"], seen["HTTP_HOST"]) == ("http", HOST)


def test_counters_are_told_to_this_machine_and_trusted_peers_only(make: Callable[..., Gate]) -> None:
    gate = make(SP_TRUSTED_PROXIES="10.0.0.0/8")
    gate.ask("/public/x")
    text = gate.ask("/metrics").text
    assert 'lychgate_decisions_total{skin="in process",verdict="let in"}' in text
    assert "lychgate_sessions 0.0" in text
    assert gate.ask("/metrics", REMOTE_ADDR="10.0.0.1", HTTP_HOST="10.0.0.9:5000").status == 200
    assert gate.ask("/metrics", REMOTE_ADDR="192.0.2.1").status == 403
    for headers in ({"X-Forwarded-For": "192.0.2.1"}, {"Forwarded": "for=192.0.2.1"}, {"Via": "1.1 proxy"}):
        assert gate.ask("/metrics", headers=headers).status == 403  # forwarded by an untrusted proxy
    assert gate.ask("/metrics", headers={"X-Forwarded-For": "192.0.2.1"}, REMOTE_ADDR="10.0.0.1").status == 403


@pytest.mark.parametrize("peer", ["127.0.0.1", "10.0.0.1"])
@pytest.mark.parametrize("trusted", ["", "127.0.0.1,10.0.0.0/8"])
@pytest.mark.parametrize(
    "headers",
    [
        {"X-Forwarded-For": "192.0.2.1"},
        {"X-Forwarded-For": "192.0.2.1:4711"},  # Azure, IIS
        {"X-Forwarded-For": "[2001:db8::1]:4711"},
        {"X-Forwarded-For": "unknown"},
        {"X-Forwarded-For": ""},
        {"X-Forwarded-For": "192.0.2.1, 127.0.0.1"},
        {"X-Forwarded-For": "127.0.0.1, 192.0.2.1"},
        {"X-Forwarded-For": "127.0.0.1,"},
        {"X-Forwarded-For": "127.0.0.1", "X-Real-IP": "192.0.2.1"},
        {"X-Forwarded-For": "127.0.0.1", "Forwarded": "for=192.0.2.1"},
        {"X-Real-IP": "192.0.2.1"},
        {"True-Client-IP": "192.0.2.1"},
        {"X-Cluster-Client-IP": "192.0.2.1"},
        {"CF-Connecting-IP": "192.0.2.1"},
        {"Forwarded": "for=192.0.2.1;proto=https"},
        {"Via": "1.1 proxy"},
        {"X-Forwarded-Proto": "https"},
        {"X-Forwarded-Host": HOST},
    ],
)
def test_attack_a_stranger_reads_the_counters_through_a_proxy(
    make: Callable[..., Gate], headers: dict[str, str], trusted: str, peer: str
) -> None:
    gate = make(SP_TRUSTED_PROXIES=trusted)
    assert gate.ask("/metrics", headers=headers, REMOTE_ADDR=peer).status == 403


@pytest.mark.parametrize("client", ["127.0.0.1", "::1", "10.9.9.9", "127.0.0.1, 10.0.0.7"])
def test_a_monitor_on_this_machine_or_a_trusted_one_reads_the_counters_through_a_proxy_too(
    make: Callable[..., Gate], client: str
) -> None:
    gate = make(SP_TRUSTED_PROXIES="127.0.0.1,10.0.0.0/8")
    told = {"X-Forwarded-For": client, "X-Forwarded-Proto": "http", "Via": "1.1 Caddy"}
    assert gate.ask("/metrics", headers=told, REMOTE_ADDR="10.0.0.1").status == 200
    assert gate.ask("/metrics", headers=told, REMOTE_ADDR="192.0.2.1").status == 403


@pytest.mark.parametrize("path", ["//login", "/sso//start", "/sso/../page", "/sso/%2e%2e/page", "/login/../x"])
def test_an_ambiguous_address_of_our_own_is_refused_as_well(gate: Gate, path: str) -> None:
    assert gate.ask(path, headers=PAGE).status == 400


def test_the_door_of_the_refusal_page_leads_nowhere_from_outside(gate: Gate) -> None:
    assert gate.ask("/sso/denied", headers=PAGE, HTTP_LYCHGATE_DENIED="x").status == 404


def test_with_a_prefix_everything_else_is_the_applications(make: Callable[..., Gate]) -> None:
    gate = make([{"path": "/login", "allow": "anyone"}], SP_PREFIX="/gate")
    assert gate.ask("/login", headers=PAGE).body == b"reached"
    assert gate.ask("/healthz", headers=SCRIPT).status == 401
    assert gate.ask("/gate/healthz", HTTP_HOST="10.0.0.1").status == 200
    assert (gate.ask("/page", headers=PAGE).header("Location") or "").startswith(f"http://{HOST}/gate/sso/start?")
    refused = gate.ask("/a//b", headers=PAGE)
    assert (refused.status, "/gate/sso/static/" in refused.text) == (400, True)
    assert gate.ask("/gate/.well-known/jwks.json").json["keys"]
