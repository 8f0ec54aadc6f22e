"""Start the gateway with run_sp.py or on a peer's server, and sign a person in."""

from __future__ import annotations

import secrets
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from urllib.parse import urlencode

from bench.programs import free_port, python, running
from bench.wire import Answer, Connection, get, post
from shared.keys import TokenKey, load_key_set
from shared.tokens import sign

SHIPPED = ("run_sp.py",)
GTHREAD = ("-m", "bench.peers.gthread")
VISIT = "/reports?page=2"  # the page about which a proxy asks


@dataclass(frozen=True)
class RunningGateway:
    """A gateway that runs on *port*, whose provider signs tokens with *secret*.

    *cookie* belongs to a signed-in person.
    """

    port: int
    pid: int
    secret: str
    cookie: str

    def question(self) -> bytes:
        """Return the request with which nginx asks the gateway about a request of the person."""
        return get("/sso/auth/nginx", self.port, self.question_headers())

    def question_headers(self) -> dict[str, str]:
        """Return the headers of nginx's request: its own headers, and the browser's headers that nginx passes on."""
        return {
            "X-Original-URL": f"http://127.0.0.1:{self.port}{VISIT}",
            "X-Original-Method": "GET",
            "Accept": "text/html",
            "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0",
            "Cookie": self.cookie,
        }

    def sign_ins(self, count: int) -> list[bytes]:
        """Return requests with a fresh token each."""
        return [sign_in_request(self.port, self.secret) for _ in range(count)]


def start_gateway(
    stack: ExitStack, folder: Path, program: tuple[str, ...] = SHIPPED, *options: str, **environ: str
) -> RunningGateway:
    """Start *program* with *options* and settings, keep its state in *folder*, and sign a person in (see `sign_in`)."""
    folder.mkdir()
    port, secret = free_port(), secrets.token_urlsafe(48)
    settings = folder / "sp.toml"
    settings.write_text(
        f'[providers.bench]\nkeys = ["{secret}"]\nunsolicited = "accept"\nlogin_url = "http://127.0.0.1:9/"\n'
    )
    settings.chmod(0o600)
    defaults = {
        "SP_INSTANCE": str(folder),
        "SP_SECRET_KEY": "k" * 48,
        "SP_CONFIG": str(settings),
        "SP_EXTERNAL_URL": f"http://127.0.0.1:{port}",
        "SP_TRUSTED_PROXIES": "127.0.0.1",
    }
    command = python(*program, "--port", str(port), *options)
    pid = stack.enter_context(running(command, port, {**defaults, **environ}, folder / "log"))
    return RunningGateway(port, pid, secret, sign_in(port, secret))


def sign_in(port: int, secret: str) -> str:
    """Sign Alice in and return her cookie.

    As a negative control, also check that the gateway rejects a second use of the token, and a forged token. Raises
    AssertionError if the gateway accepts one of them, or rejects the first use.
    """
    request, forged_request = sign_in_request(port, secret), sign_in_request(port, secrets.token_urlsafe(48))
    with Connection(port) as connection:
        first, second, forged = (connection.ask(each) for each in (request, request, forged_request))
    if not is_signed_in(first) or is_signed_in(second) or is_signed_in(forged):
        raise AssertionError(f"tokens are not checked: {first.status}, {second.status}, {forged.status}")
    return first.header("Set-Cookie").partition(";")[0]


def is_signed_in(answer: Answer) -> bool:
    """Tell whether a sign-in has succeeded."""
    return answer.status == 303 and answer.header("Location") == "/" and answer.header("Set-Cookie") != ""


def is_allowed(answer: Answer) -> bool:
    """Tell whether the gateway allowed the request about which a proxy asked."""
    return answer.status == 200


def sign_in_request(port: int, secret: str, **claims: object) -> bytes:
    """Return the request of a browser that delivers a fresh token, with more or other *claims*."""
    return post("/sso/login/jwt", port, urlencode({"jwt": new_token(secret, **claims)}))


def new_token(secret: str, **more: object) -> str:
    """Return a token for Alice that is valid for a minute, with *more* claims."""
    now = int(time.time())
    claims = {
        "iat": now,
        "exp": now + 60,
        "jti": secrets.token_urlsafe(16),
        "email": "alice@example.com",
        "given_name": "Alice",
        "family_name": "Liddell",
        **more,
    }
    return sign(claims, _key(secret))


@cache
def _key(secret: str) -> TokenKey:
    return load_key_set([secret], "HS256").keys[0]
