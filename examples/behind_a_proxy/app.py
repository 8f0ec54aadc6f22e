"""An application that does not know the gateway: it trusts the header Remote-User, as many products can.

    python examples/behind_a_proxy/app.py --port 8000

This example represents a program in any language behind nginx, Caddy or Traefik. It must be reachable only through the
proxy. It uses the server of Python's standard library, which, like some other servers, treats Remote_User as
Remote-User. So the proxy must remove both headers from the requests of clients.
"""

import argparse
from collections.abc import Iterable
from html import escape
from typing import TYPE_CHECKING
from urllib.parse import unquote
from wsgiref.simple_server import make_server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    """Show the person, and all other received headers that look like identity."""
    user = environ.get("HTTP_REMOTE_USER", "")
    who = f"You are <b>{escape(unquote(user))}</b>." if user else "You are not signed in."
    parts = ("REMOTE", "FORWARDED_USER", "FORWARDED_EMAIL", "FORWARDED_GROUPS", "FORWARDED_PREFERRED", "AUTH_REQUEST")
    told = {name: environ[name] for name in environ if name.startswith("HTTP_") and any(p in name for p in parts)}
    signed = "with" if environ.get("HTTP_X_LYCHGATE_ASSERTION") else "without"
    rows = "".join(f"<li>{escape(name)}: {escape(value)}</li>" for name, value in sorted(told.items()))
    page = (
        f"<!doctype html><title>Some product</title><h1>Some product</h1><p>{who}</p><ul>{rows}</ul>"
        f'<p>Came {signed} an assertion. <a href="/logout">Sign out</a></p>'
    )
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Cache-Control", "no-store")])
    return [page.encode()]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8000)
    with make_server("127.0.0.1", parser.parse_args().port, application) as server:
        server.serve_forever()
