"""What the attacks are aimed at: an application that tells what it was told, and sets cookies as it is asked to."""

import json
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any
from urllib.parse import unquote

SET = "set-cookie="


def telling(environ: dict[str, Any], start_response: Any, site: str = "") -> Iterable[bytes]:
    """Answer with everything in the request that the application of *site* might trust."""
    user = environ.get("sso.user")
    told = {
        "reached": True,
        "application": site,
        "method": environ["REQUEST_METHOD"],
        "path": environ.get("PATH_INFO", "").encode("latin-1").decode("utf-8", "replace"),
        "raw": environ.get("RAW_URI") or environ.get("REQUEST_URI"),
        "script_name": environ.get("SCRIPT_NAME", ""),
        "remote_user": environ.get("REMOTE_USER"),
        "auth_type": environ.get("AUTH_TYPE"),
        "user": user and user["email"],
        "peer": environ.get("REMOTE_ADDR"),
        "scheme": environ.get("wsgi.url_scheme"),
        "headers": {key: value for key, value in environ.items() if key.startswith("HTTP_")},
    }
    body = json.dumps(told).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    if (query := environ.get("QUERY_STRING", "")).startswith(SET):
        headers.append(("Set-Cookie", unquote(query.removeprefix(SET))))
    start_response("200 OK", headers)
    return [body]


def of(site: str) -> Callable[..., Iterable[bytes]]:
    """Return the application of *site*; SP_APP and `app` may name it so."""
    return partial(telling, site=site)


home, wiki, shop = of("home"), of("wiki"), of("shop")
