"""Compare nginx that asks the gateway at each request (auth_request) with nginx that does not, in requests per second.

The application behind it is one Flask page in both cases, on the same server as the gateway. The second
row lets nginx cache our answer for the session cache time, five seconds, per cookie, method and URL.
"""

from __future__ import annotations

import getpass
import shutil
import tempfile
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from bench.load import answer, requests_per_second
from bench.programs import free_port, python, running
from bench.timing import Row, in_turns

CONFIGURATION = """
daemon off;
{user}
worker_processes 1;
pid {here}/nginx.pid;
error_log {here}/error.log;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {here}/body;
    proxy_temp_path {here}/proxy;
    fastcgi_temp_path {here}/fastcgi;
    uwsgi_temp_path {here}/uwsgi;
    scgi_temp_path {here}/scgi;
    proxy_cache_path {here}/cache keys_zone=decisions:1m;
    upstream application {{ server 127.0.0.1:{application}; keepalive 16; }}
    upstream gateway {{ server 127.0.0.1:{gateway}; keepalive 16; }}
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://application; }}
        location /asking/ {{
            auth_request /decision;
            proxy_pass http://application/;
        }}
        location /keeping/ {{
            auth_request /kept-decision;
            proxy_pass http://application/;
        }}
        location = /decision {{
            internal;
            proxy_pass http://gateway/sso/auth/nginx;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header Connection "";
            proxy_set_header Host 127.0.0.1:{gateway};
            proxy_set_header X-Original-URL http://127.0.0.1:{gateway}$request_uri;
            proxy_set_header X-Original-Method $request_method;
        }}
        location = /kept-decision {{
            internal;
            proxy_pass http://gateway/sso/auth/nginx;
            proxy_pass_request_body off;
            proxy_set_header Content-Length "";
            proxy_set_header Connection "";
            proxy_set_header Host 127.0.0.1:{gateway};
            proxy_set_header X-Original-URL http://127.0.0.1:{gateway}$request_uri;
            proxy_set_header X-Original-Method $request_method;
            proxy_cache decisions;
            proxy_cache_key "$http_cookie $request_method $request_uri";
            proxy_cache_valid 200 5s;
            proxy_ignore_headers Cache-Control Vary;
        }}
    }}
}}
"""


def rows() -> list[Row]:
    """Measure the three locations, in turns."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")
    if nginx is None:
        raise SystemExit("This part needs nginx: apt-get install nginx")
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        here = Path(folder)
        application = _start(stack, here, "gunicorn", "unprotected")
        gateway = _start(stack, here, "gunicorn", "ours")
        port = free_port()
        user = "user root;" if getpass.getuser() == "root" else ""
        configuration = here / "nginx.conf"
        configuration.write_text(
            CONFIGURATION.format(here=here, user=user, port=port, application=application, gateway=gateway)
        )
        stack.enter_context(running([nginx, "-p", folder, "-c", str(configuration)], port, {}, here / "nginx.log"))
        answer(f"http://127.0.0.1:{gateway}/healthz")  # waits for the worker, which writes the cookie
        cookie = (here / "gunicorn-ours" / "cookie").read_text()
        places = {name: f"http://127.0.0.1:{port}{path}reports" for name, path in _PLACES.items()}
        _controls(places, cookie)
        rates = in_turns({name: partial(requests_per_second, url, cookie) for name, url in places.items()})
    note = ", ".join(f"{name} {rate:.0f}/s" for name, rate in rates.items())
    return [
        Row("nginx that asks us, of nginx that asks nobody", rates["asking"] / rates["alone"], "", 0.38, note=note),
        Row("nginx that keeps our answer for five seconds", rates["keeping"] / rates["alone"], "", 0.50),
    ]


_PLACES = {"alone": "/", "asking": "/asking/", "keeping": "/keeping/"}


def _start(stack: ExitStack, here: Path, server: str, kind: str) -> int:
    port = free_port()
    state = here / f"{server}-{kind}"
    state.mkdir()
    environ = {
        "SP_INSTANCE": str(state),
        "SP_SECRET_KEY": "k" * 48,
        "SP_EXTERNAL_URL": f"http://127.0.0.1:{port}",
        "SP_TRUSTED_PROXIES": "127.0.0.1",
        "BENCH_COOKIE": str(state / "cookie"),
    }
    command = python("-m", "bench.serve", server, f"bench.peers.protected:{kind}", str(port))
    stack.enter_context(running(command, port, environ, state / "log"))
    return port


def _controls(places: dict[str, str], cookie: str) -> None:
    """The negative controls: without a cookie, or with a forged one, no request may reach the application."""
    for name, url in places.items():
        status, body = answer(url, cookie)
        if status != 200 or b"reached" not in body:
            raise AssertionError(f"{name}: not reached with the cookie ({status})")
        for forged in ("", f"sp_session={'x' * 43}"):
            if name != "alone" and answer(url, forged)[0] != 401:
                raise AssertionError(f"{name}: reached without a session")
