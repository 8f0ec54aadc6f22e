"""Measure how much of its speed a proxy keeps when it asks about each request before it serves a file.

The proxies are nginx, which asks our gateway, and Apache with mod_auth_openidc. Each is compared with the same proxy
without protection, in requests per second. nginx is measured in three ways: it serves the file itself, it passes
requests on to another nginx that serves the file, or it serves the file itself and caches our answer for five seconds.
nginx that asks our gateway is also compared with nginx that asks LemonLDAP::NG. Apache keeps its session in a cookie,
and decides without asking another program.
"""

from __future__ import annotations

import getpass
import shutil
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from functools import partial
from http.cookiejar import CookieJar
from pathlib import Path

from bench.gateways import RunningGateway, start_gateway
from bench.load import answer, requests_per_second
from bench.peers.lemonldap import SERVER, start_lemonldap
from bench.peers.openid_provider import CLIENT, SECRET, running_provider
from bench.programs import free_port, running
from bench.timing import Row, in_turns, told

FILE = "the file that everybody wants\n" * 40
SBIN = "/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin"
APACHE_MODULES = Path("/usr/lib/apache2/modules")

HEAD = """
daemon off;
{user}
worker_processes 1;
pid {here}/{port}.pid;
error_log {here}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {here}/body;
    proxy_temp_path {here}/proxy;
    fastcgi_temp_path {here}/fastcgi;
    uwsgi_temp_path {here}/uwsgi;
    scgi_temp_path {here}/scgi;
    keepalive_requests 1000000;
"""
UPSTREAM = HEAD + "    server {{ listen 127.0.0.1:{port}; root {here}/files; }}\n}}\n"
QUESTION = """
        location = /{name} {{
            internal;
            proxy_pass http://gateway/sso/auth/nginx;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header Connection "";
            proxy_set_header Host 127.0.0.1:{gateway};
            proxy_set_header X-Original-URL http://127.0.0.1:{gateway}$request_uri;
            proxy_set_header X-Original-Method $request_method;
            {more}
        }}
"""
LEMONLDAP_ASKING = """
        location /lemonldap/ {{ auth_request /lmauth; alias {here}/files/; }}
        location = /lmauth {{
            internal;
            fastcgi_pass unix:{socket};
            fastcgi_pass_request_body off;
            fastcgi_param QUERY_STRING $query_string;
            fastcgi_param REQUEST_METHOD $request_method;
            fastcgi_param CONTENT_LENGTH "";
            fastcgi_param REQUEST_URI $request_uri;
            fastcgi_param SERVER_PROTOCOL $server_protocol;
            fastcgi_param REMOTE_ADDR $remote_addr;
            fastcgi_param SERVER_NAME $server_name;
            fastcgi_param SERVER_PORT $server_port;
            fastcgi_param HTTP_HOST $http_host;
            fastcgi_param X_ORIGINAL_URI $request_uri;
        }}
"""
KEPT = """proxy_cache decisions;
            proxy_cache_key "$http_cookie $request_method $request_uri";
            proxy_cache_valid 200 5s;
            proxy_ignore_headers Cache-Control Vary;"""
FRONT = (
    HEAD
    + """
    proxy_cache_path {here}/cache keys_zone=decisions:1m;
    upstream application {{ server 127.0.0.1:{upstream}; keepalive 16; }}
    upstream gateway {{ server 127.0.0.1:{gateway}; keepalive 16; keepalive_requests 1000000; }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    server {{
        listen 127.0.0.1:{port};
        location /open/ {{ alias {here}/files/; }}
        location /asking/ {{ auth_request /decision; alias {here}/files/; }}
        location /keeping/ {{ auth_request /kept-decision; alias {here}/files/; }}
        location /passing/ {{ proxy_pass http://application/; }}
        location /asking-passing/ {{ auth_request /decision; proxy_pass http://application/; }}
{questions}
{more}
    }}
}}
"""
)
APACHE = """
ServerRoot {here}
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile {here}/apache.pid
ErrorLog {here}/apache-error.log
LogLevel error
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authn_core_module {modules}/mod_authn_core.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule authz_user_module {modules}/mod_authz_user.so
LoadModule alias_module {modules}/mod_alias.so
LoadModule auth_openidc_module {modules}/mod_auth_openidc.so
{user}
KeepAlive On
MaxKeepAliveRequests 0
DocumentRoot {here}/files
Alias /open {here}/files
Alias /oidc {here}/files
<Directory {here}/files>
    Require all granted
</Directory>
OIDCProviderMetadataURL {provider}/.well-known/openid-configuration
OIDCProviderTokenEndpointAuth client_secret_basic
OIDCClientID {client}
OIDCClientSecret "{secret}"
OIDCScope "openid email"
OIDCRedirectURI http://127.0.0.1:{port}/oidc/callback
OIDCCryptoPassphrase {passphrase}
OIDCSessionType client-cookie
<Location /oidc>
    AuthType openid-connect
    Require valid-user
</Location>
"""
ALONE, ASKING, KEEPING, PASSING, ASKING_PASSING = "alone", "asking", "keeping", "passing", "asking and passing"
APACHE_ALONE, OPENIDC = "Apache alone", "mod_auth_openidc"
LEMONLDAP = "LemonLDAP::NG"


def rows() -> Iterator[Row]:
    """Measure all proxies, in turns."""
    without_apache = "" if (APACHE_MODULES / "mod_auth_openidc.so").exists() else "tools/bench-packages: not installed"
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        here = Path(folder)
        here.chmod(0o755)  # the proxies and their programs run as another user
        gateway = start_gateway(stack, here / "gateway")
        lemonldap = start_lemonldap(stack, here / "lemonldap") if SERVER.exists() else None
        places = _start_nginx(stack, here, gateway, lemonldap)
        if not without_apache:
            places |= _start_apache(stack, here)
        for name, (url, cookie) in places.items():
            _check(url, cookie, is_open=name in (ALONE, PASSING, APACHE_ALONE))
        rates = in_turns({name: partial(requests_per_second, *place) for name, place in places.items()})
    note = ", ".join(f"{name} {rate:.0f}/s" for name, rate in rates.items())
    kept = rates[ASKING] / rates[ALONE]
    yield Row("nginx with a file, asking us, of nginx alone", kept, "", 0.40, note=note)
    passing = rates[ASKING_PASSING] / rates[PASSING]
    yield Row("nginx before a static upstream, asking us, of nginx that passes on", passing, "", 0.40)
    yield Row("nginx that keeps our answer for five seconds", rates[KEEPING] / rates[ALONE], "", 0.50)
    beside = "nginx asking us, times nginx asking LemonLDAP::NG (one process each)"
    if lemonldap:
        yield Row(beside, rates[ASKING] / rates[LEMONLDAP], "x", 1.0)
    else:
        yield Row(beside, 0.0, "x", 1.0, reason="tools/bench-packages: not installed")
    against = "what we keep of nginx, of what mod_auth_openidc keeps of Apache"
    if without_apache:
        yield Row(against, 0.0, "x", 1.0, reason=without_apache)
    else:
        yield told("Apache with mod_auth_openidc, of Apache alone", rates[OPENIDC] / rates[APACHE_ALONE], "")
        yield Row(against, kept / (rates[OPENIDC] / rates[APACHE_ALONE]), "x", 1.0)


def _program(*names: str) -> str:
    found = next((path for name in names if (path := shutil.which(name, path=SBIN))), None)
    if found is None:
        raise SystemExit(f"This part needs {names[0]}: apt-get install {names[0]}")
    return found


def _start_nginx(
    stack: ExitStack, here: Path, gateway: RunningGateway, lemonldap: tuple[Path, str] | None
) -> dict[str, tuple[str, str]]:
    upstream = start_static(stack, here)
    questions = "".join(
        QUESTION.format(name=name, gateway=gateway.port, more=more)
        for name, more in (("decision", ""), ("kept-decision", KEPT))
    )
    more = LEMONLDAP_ASKING.format(here=here, socket=lemonldap[0]) if lemonldap else ""
    port = _nginx(stack, here, FRONT, upstream=upstream, gateway=gateway.port, questions=questions, more=more)
    paths = {ALONE: "open", ASKING: "asking", KEEPING: "keeping", PASSING: "passing", ASKING_PASSING: "asking-passing"}
    places = {name: (f"http://127.0.0.1:{port}/{path}/page.txt", gateway.cookie) for name, path in paths.items()}
    if lemonldap:
        places[LEMONLDAP] = (f"http://127.0.0.1:{port}/lemonldap/page.txt", lemonldap[1])
    return places


def start_static(stack: ExitStack, here: Path) -> int:
    """Start an nginx that serves only /page.txt, and return its port."""
    here.chmod(0o755)
    (here / "files").mkdir(exist_ok=True)
    (here / "files" / "page.txt").write_text(FILE)
    return _nginx(stack, here, UPSTREAM)


def _nginx(stack: ExitStack, here: Path, text: str, **more: object) -> int:
    port = free_port()
    file = here / f"{port}.conf"
    user = "user root;" if getpass.getuser() == "root" else ""
    file.write_text(text.format(here=here, user=user, port=port, **more))
    command = [_program("nginx"), "-p", str(here), "-c", str(file)]
    stack.enter_context(running(command, port, {}, here / f"{port}.log"))
    return port


def _start_apache(stack: ExitStack, here: Path) -> dict[str, tuple[str, str]]:
    provider = stack.enter_context(running_provider())
    port = free_port()
    file = here / "apache.conf"
    user = "User www-data\nGroup www-data" if getpass.getuser() == "root" else ""
    text = APACHE.format(
        here=here, port=port, modules=APACHE_MODULES, user=user, provider=provider, client=CLIENT, secret=SECRET,
        passphrase="p" * 48,
    )  # fmt: skip
    file.write_text(text)
    command = [_program("apache2", "httpd"), "-DFOREGROUND", "-f", str(file)]
    stack.enter_context(running(command, port, {}, here / "apache.log"))
    url = f"http://127.0.0.1:{port}/oidc/page.txt"
    cookie = _sign_in(url)
    return {APACHE_ALONE: (f"http://127.0.0.1:{port}/open/page.txt", cookie), OPENIDC: (url, cookie)}


def _sign_in(url: str) -> str:
    """Follow the redirects of a sign-in as a browser does, and return the cookies of the session."""
    jar = CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(jar))
    browser.addheaders = [("Accept", "text/html")]
    with browser.open(url, timeout=30) as page:
        if page.read().decode() != FILE:
            raise AssertionError("the sign-in at Apache failed")
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar if "session" in cookie.name)


def _check(url: str, cookie: str, *, is_open: bool) -> None:
    """Check that a request without a cookie, or with a forged one, does not get the file (the negative control)."""
    status, body = answer(url, cookie)
    if status != 200 or body.decode() != FILE:
        raise AssertionError(f"{url}: not reached with the cookie ({status})")
    for forged in ("", cookie[:-9] + "x" * 9):
        if not is_open and answer(url, forged)[0] not in (302, 401):
            raise AssertionError(f"{url}: reached without a session")
