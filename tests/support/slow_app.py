"""A slow WSGI application: it answers each request after SECONDS, with the person's e-mail."""

import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

SECONDS = 2.0


def app(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
    time.sleep(SECONDS)
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [b"done for ", environ.get("REMOTE_USER", "nobody").encode()]
