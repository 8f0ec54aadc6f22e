"""Write a small identity provider to test with: one file in PHP, Python, Node or Ruby, with all values filled in.

One command starts it on the administrator's own machine. It asks for no password, and signs in one example person. So a
provider can be tested before the site has a page that makes tokens. The program answers only on that machine and under
its own URL, so that no other site can use it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from urllib.parse import urlsplit

from markupsafe import escape

from shared.settings import is_loopback
from sp.admin.snippets import EXAMPLE, python_needs, render, values_of
from sp.providers.provider import Provider

FIRST_PORT = 5080  # used if no setting names a URL; the demo has 5000 and 5001, browsers refuse 5060 and 5061
LEAST_PORT = 1024  # ports below need a privileged account
PATH = "/login-token/"
LIFETIME = 300  # seconds for which the page of the program can be used, if max_age allows as many
TOKEN = "@TOKEN@"  # where each program puts its token into the page
HEADERS = {
    "Content-Type": "text/html; charset=utf-8",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "frame-ancestors 'none'",
}
STYLE = (
    "body{font:1.1rem system-ui;margin:3rem auto;max-width:34rem;padding:0 1rem}"
    "button{font:inherit;padding:.6rem 1.2rem}"
)


@dataclass(frozen=True)
class TrialProgram:
    """A program in a language: its file, the command that starts it, and what must be installed, if anything."""

    language: str
    file: str
    command: str
    needs: str = ""

    @property
    def template(self) -> str:
        """The name of its template."""
        return f"{self.language.lower()}_program"


def trial_programs(provider: Provider) -> list[TrialProgram]:
    """Return the program in each language."""
    stem, port = f"{provider.name}-test", urlsplit(program_url(provider)).port
    return [
        TrialProgram("Python", f"{stem}.py", f"python3 {stem}.py", python_needs(provider)),
        TrialProgram("PHP", f"{stem}.php", f"php -S 127.0.0.1:{port} {stem}.php"),
        TrialProgram("Node", f"{stem}.mjs", f"node {stem}.mjs"),
        TrialProgram("Ruby", f"{stem}.rb", f"ruby {stem}.rb"),
    ]


def program_code(program: TrialProgram, provider: Provider, key: str, return_url: str) -> str:
    """Return the text of *program*, which signs with *key*, the secret or the private key."""
    url = program_url(provider)
    parts = urlsplit(url)
    values = values_of(provider, key, return_url)
    lifetime = min(LIFETIME, provider.max_age)
    button = "Test a sign-in" if provider.login_url == url else "Test with the program"
    return render(
        program.template,
        {
            **values,
            "lifetime": lifetime,
            "command": program.command,
            "host": parts.netloc.lower(),
            "port": parts.port,
            "path": parts.path or "/",
            "headers": HEADERS,
            "page": list(_page(provider, return_url, lifetime)),
            "ready": f'Ready at {url} - now go back to the browser and press "{button}". Ctrl-C stops this program.',
        },
    )


def program_url(provider: Provider) -> str:
    """Return the URL of the test program: the Identity provider URL if that is on this machine, else a default."""
    return provider.login_url if _is_servable(provider.login_url) else _url(FIRST_PORT)


def free_program_url(taken: Iterable[str]) -> str:
    """Return a URL for a test program that is not in *taken*."""
    known = set(taken)
    return next(url for url in map(_url, count(FIRST_PORT)) if url not in known)


def _url(port: int) -> str:
    return f"http://127.0.0.1:{port}{PATH}"


def _is_servable(url: str) -> bool:
    """Tell whether a program on this machine can serve *url*: plain HTTP, and a port that needs no privileges."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    return parts.scheme == "http" and ":" not in host and is_loopback(host) and (parts.port or 0) >= LEAST_PORT


def _page(provider: Provider, return_url: str, lifetime: int) -> Iterator[str]:
    """Yield the lines of the page that the program shows. Its button carries a token that is made with the page."""
    # Over http, browsers send the cookie of a sign-in with a GET from another site, but not with a POST.
    method = "get" if "query" in provider.deliveries else "post"
    yield '<!doctype html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    yield f'<meta name="color-scheme" content="light dark"><title>Test sign-in</title><style>{STYLE}</style>'
    yield "<main><h1>Test sign-in</h1><p>For a test only: there is no password.</p>"
    yield f'<form method="{method}" action="{escape(return_url)}">'
    yield f'<input type="hidden" name="{escape(provider.token_parameter)}" value="{TOKEN}">'
    yield f"<button autofocus>Sign in as {EXAMPLE['name']}</button></form>"
    while_valid = f"{lifetime} seconds" if lifetime < 120 else f"{lifetime // 60} minutes"
    yield f"<p>The button works once, for {while_valid}.</p></main></html>"
