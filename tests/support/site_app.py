"""An application that says whom the gateway has let through, and to which site."""

from collections.abc import Callable, Iterable
from html import escape
from typing import Any


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answer every path with a page."""
    user = environ["sso.user"]
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8")])
    page = f"<!doctype html><html lang=en><title>Site</title><h1>{escape(user['site'])}: {escape(user['email'])}</h1>"
    return [page.encode()]
