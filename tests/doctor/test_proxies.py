"""The doctor says nothing about our own configuration files, and names each mistake that is planted in them."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from sp.cli.doctor import chain_of
from sp.diagnosis.doctor.chain import SCRIPT, is_marked
from tests.doctor.proxies import FORWARD_AUTH, STARTERS, Behind, Planted, proxy
from tests.support.gateway import core_of


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    with Behind(tmp_path_factory.mktemp("gateway")).running() as running:
        yield running


@pytest.mark.parametrize("name", STARTERS)
def test_our_own_files_are_good(name: str, behind: Behind, tmp_path: Path) -> None:
    with proxy(name, behind, tmp_path):
        findings = behind.examine()
    assert [(f.check, f.explanation) for f in findings if f.outcome in ("failed", "advice")] == []
    expected = "doctor-echo" if name in FORWARD_AUTH else "inside the gateway"
    assert next(expected in f.explanation for f in findings if f.check == "echo")


NOTHING = ""
PLANTED = {
    "nginx": [
        Planted("identity_headers", r"^ +proxy_set_header X-Forwarded-User \"\";\n", NOTHING),
        Planted("identity_headers", r"^ +proxy_set_header X-Lychgate-Assertion .*\n", NOTHING),
        Planted("header_spelling", "underscores_in_headers off", "underscores_in_headers on"),
        Planted("client_ip", r"X-Forwarded-For \$remote_addr", "X-Forwarded-For $http_x_forwarded_for"),
        Planted("scheme", r"^ +proxy_set_header X-Forwarded-Proto .*\n", NOTHING),
        Planted("forwarded_host", r"^ +proxy_set_header X-Forwarded-Host .*\n", NOTHING),
        Planted("request_id", r"^ +proxy_set_header X-Request-Id .*\n", NOTHING),
        Planted(
            "request_id",
            r"X-Request-Id \$request_id;\n(?= +proxy_set_header Upgrade)",
            "X-Request-Id $http_x_request_id;\n",
        ),
        Planted("sign_in", r"^ +error_page 401 .*\n", NOTHING),
        Planted("script_refused", "return 401;", "return 302 /login;"),
        Planted(
            "open_paths", r"(?=^    location / )", "    location ~ [.]css$ { proxy_pass http://127.0.0.1:8000; }\n"
        ),
        Planted("question", r"^ +internal;\n", NOTHING),
        Planted("question", r"(?s)^    location \^~ /sso/auth/ \{.*?\}\n", NOTHING),
        Planted("session_cookie", r"Cookie \$cookies_of_the_application", "Cookie $http_cookie"),
        Planted("path_same", r"proxy_pass http://127\.0\.0\.1:8000;", "proxy_pass http://127.0.0.1:8000/;"),
        Planted(
            "path_tricks",
            r"(?s)(auth_request /sso/auth/nginx;)(.*)\$http_host\$request_uri;",
            r"set $asked $uri; \1\2$http_host$asked;",
            also=("sign_in",),
        ),
        Planted("large_answer", r"^ +proxy_buffer(_size|s) .*\n", NOTHING),
        Planted("upgrade", r"^    default (\"\"|close);\n    (?=.*websocket)", "    default h2c;\n    "),
        Planted("url_headers", r"^ +proxy_set_header X-Original-URL \"\";\n", NOTHING),
        Planted("set_cookie", r"(?=^ +proxy_set_header X-Forwarded-Proto)", "proxy_hide_header Set-Cookie;\n"),
        Planted("own_paths", r"\^/\(sso/\.\*\|", "^/("),
    ],
    "caddy": [
        Planted("identity_headers", r"^\t+request_header -X-Forwarded-User\n", NOTHING),
        Planted("header_spelling", r"^\t+request_header -\*_\*\n", NOTHING),
        Planted(
            "client_ip",
            r"reverse_proxy @own (.*)",
            r"reverse_proxy @own \1 {\n\t\t\ttrusted_proxies 0.0.0.0/0\n\t\t}",
            also=("scheme", "forwarded_host"),
        ),
        Planted("request_id", r"^\t+request_header X-Request-Id .*\n", NOTHING),
        Planted("question", r"^\t+respond /sso/auth/\* 404\n", NOTHING),
        Planted("session_cookie", r"^\t+request_header Cookie .*\n", NOTHING),
        Planted("path_same", r"(?=^\t+request_header Cookie)", "\t\trewrite * {path}?{query}\n"),
        Planted(
            "open_paths",
            r"(?=^\t+forward_auth)",
            "\t\t@static path *.css\n\t\treverse_proxy @static {$LYCHGATE_APPLICATION}\n",
            also=("path_tricks",),
        ),
        Planted("sign_in", "uri /sso/auth/forward", "uri /sso/auth/nginx", also=("script_refused",)),
        Planted("url_headers", r"^\t+request_header -X-Original-URL\n", NOTHING),
        Planted("upgrade", r"^\t+request_header @not_websocket -Upgrade\n", NOTHING),
        Planted("own_paths", r"@own path /sso/\*", "@own path"),
        Planted(
            "set_cookie", r"reverse_proxy @own (.*)", r"reverse_proxy @own \1 {\n\t\t\theader_down -Set-Cookie\n\t\t}"
        ),
    ],
    "haproxy": [
        Planted("client_ip", r"http-request set-header X-Forwarded-For .*", "option forwardfor"),
        Planted("scheme", r"^ +http-request set-header X-Forwarded-Proto .*\n", NOTHING),
        Planted("forwarded_host", r"^ +http-request set-header X-Forwarded-Host .*\n", NOTHING),
        Planted("request_id", r"^ +http-request set-header X-Request-Id .*\n", NOTHING),
        Planted("set_cookie", r"(?=^    server gateway)", "    http-response del-header Set-Cookie\n"),
        Planted(
            "cookie_passed",
            r"(?=^    default_backend)",
            "    http-request del-header Cookie\n",
            also=("large_request",),
        ),
        Planted("sign_in", r"(?=^    server gateway)", "    http-response set-status 200 if { status 302 }\n"),
        Planted("script_refused", r"(?=^    server gateway)", "    http-response set-status 403 if { status 401 }\n"),
        Planted("own_paths", r"-m beg /sso/auth/", "-m beg /sso/"),
        Planted("large_request", r"(?=^    maxconn)", "    tune.bufsize 4096\n"),
        Planted("path_same", r"(?=^    default_backend)", "    http-request set-path %[path,url_dec]\n"),
        Planted(
            "open_paths",
            r"(?s)^    default_backend gateway\n",
            "    use_backend static if { path_end .css }\n    default_backend gateway\n"
            "backend static\n    server static 127.0.0.1:8000\n",
            also=("path_tricks",),
        ),
    ],
    "apache": [
        Planted("client_ip", r"^ +RequestHeader unset X-Forwarded-For early\n", NOTHING),
        Planted("scheme", r"^ +RequestHeader set X-Forwarded-Proto .*\n", NOTHING),
        Planted("forwarded_host", r"RequestHeader unset X-Forwarded-Host early", "ProxyAddHeaders Off"),
        Planted("request_id", r"^ +RequestHeader unset X-Request-Id early\n", NOTHING),
        Planted("set_cookie", r"(?=^    ProxyPass / )", "    Header unset Set-Cookie\n"),
        Planted("cookie_passed", r"(?=^    ProxyPass / )", "    RequestHeader unset Cookie\n", also=("large_request",)),
        Planted("sign_in", r"(?=^    ProxyPass / )", '    Header edit Location ^http://[^/]+ "http://internal"\n'),
        Planted("own_paths", r"(?=^    ProxyPass / )", "    ProxyPass /sso/ !\n"),
        Planted("large_request", r"(?=^    ProxyPass / )", "    LimitRequestFieldSize 4000\n"),
        Planted("path_same", r"(?s)AllowEncodedSlashes NoDecode(.*) nocanon", r"AllowEncodedSlashes On\1"),
        Planted("open_paths", r"(?=^    ProxyPass / )", "    ProxyPass /static/ http://127.0.0.1:8000/static/\n"),
    ],
}


@pytest.mark.parametrize(
    ("name", "planted"),
    [
        pytest.param(name, planted, id=f"{name}-{planted.finding}")
        for name, table in PLANTED.items()
        for planted in table
    ],
)
def test_each_planted_mistake_is_found_under_its_name(
    name: str, planted: Planted, behind: Behind, tmp_path: Path
) -> None:
    with proxy(name, behind, tmp_path, planted):
        findings = behind.examine()
    found = {f.check: f for f in findings if f.outcome in ("failed", "advice")}
    assert set(found) == {planted.finding, *planted.also}, {f.check: f.explanation for f in found.values()}
    assert f"In {name}: " in found[planted.finding].remedy or "docs/guides/doctor.md" in found[planted.finding].remedy


@pytest.mark.parametrize("name", FORWARD_AUTH)
def test_a_websocket_still_reaches_the_application(name: str, behind: Behind, tmp_path: Path) -> None:
    chain = chain_of(urlsplit(f"http://127.0.0.1:{behind.port}"), core_of(behind.own))
    with proxy(name, behind, tmp_path):
        echo = chain.ask_application(headers=(("Connection", "Upgrade"), ("Upgrade", "WebSocket"))).echo
    assert echo
    assert echo.header("Upgrade").lower() == "websocket"


def test_attack_a_stranger_gets_what_nginx_cached_for_the_doctor(behind: Behind, tmp_path: Path) -> None:
    caching = Planted("none", "#5s ", NOTHING)
    chain = chain_of(urlsplit(f"http://127.0.0.1:{behind.port}"), core_of(behind.own))
    with proxy("nginx", behind, tmp_path, caching):
        held = chain.ask_application(headers=SCRIPT)
        stranger = chain.ask_application(headers=SCRIPT, ticket=False)
    assert held.echo
    assert not is_marked(stranger)
    assert stranger.status == 401


def test_a_proxy_that_the_gateway_does_not_trust_is_named(tmp_path: Path) -> None:
    with (
        Behind(tmp_path / "gateway", trusted="").running() as behind,
        proxy("haproxy", behind, tmp_path),
    ):
        found = {f.check: f for f in behind.examine() if f.outcome == "failed"}
    assert set(found) == {"proxy_trusted"}
    assert "127.0.0.1" in found["proxy_trusted"].explanation


def test_another_gateway_or_none_is_named(behind: Behind) -> None:
    found = [f for f in behind.examine("http://127.0.0.1:9") if f.outcome == "failed"]
    assert [f.check for f in found] == ["own_paths"]
    assert "connection failed" in found[0].explanation


def test_without_a_proxy_there_is_nothing_to_say(tmp_path: Path) -> None:
    with Behind(tmp_path, trusted="").running() as behind:
        findings = behind.examine(behind.gateway.url)
    assert [f.check for f in findings if f.outcome in ("failed", "advice")] == []
