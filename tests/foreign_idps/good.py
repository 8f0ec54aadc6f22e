"""A good identity provider, with the standard library only: `python good.py PORT`.

It reads RETURN_URL, SERVICE_KEY, AUDIENCE, EMAIL and PASSWORD from the environment.
"""

import hashlib
import hmac
import html
import json
import os
import secrets
import sys
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from http.cookies import SimpleCookie
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlencode, urlsplit

RETURN_URL, KEY, AUDIENCE = os.environ["RETURN_URL"], os.environ["SERVICE_KEY"].encode(), os.environ["AUDIENCE"]
SALT = secrets.token_bytes(16)


def digest(password: str) -> bytes:
    return hashlib.scrypt(password.encode(), salt=SALT, n=2**14, r=8, p=1)


PEOPLE = {os.environ["EMAIL"]: digest(os.environ["PASSWORD"])}
UNKNOWN = digest(secrets.token_hex())
SESSIONS: dict[str, dict[str, str]] = {}


class Site(BaseHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        where, query = urlsplit(self.path).path, self.query()
        if where == "/login-token/":
            email = self.session().get("email")
            return self.deliver(email, query) if email else self.show_form()
        if where == "/logout":
            return self.sign_out(query.get("jwt", ""))
        return self.page(404, "Not found", "")

    def do_POST(self) -> None:
        length = min(int(self.headers.get("Content-Length") or 0), 16_384)
        typed = {name: values[0] for name, values in parse_qs(self.rfile.read(length).decode()).items()}
        csrf = self.session().get("csrf", "")
        if not csrf or not hmac.compare_digest(csrf, typed.get("csrf", "")):
            return self.show_form("The form has expired. Type your password again.", 400)
        email = typed.get("email", "").lower()
        right = hmac.compare_digest(PEOPLE.get(email, UNKNOWN), digest(typed.get("password", "")))
        if not right or email not in PEOPLE:
            return self.show_form("The e-mail or the password is wrong.", 401)
        SESSIONS.pop(self.session_id(), None)
        return self.deliver(email, self.query(), self.begin(email=email))

    def sign_out(self, token: str) -> None:
        header, _, rest = token.partition(".")
        body, _, signature = rest.partition(".")
        if not hmac.compare_digest(sign(f"{header}.{body}"), signature):
            return self.page(401, "Not signed out", "")
        head, claims = (json.loads(urlsafe_b64decode(part + "==")) for part in (header, body))
        if head.get("typ") != "logout+jwt" or abs(time.time() - claims["iat"]) > 300:
            return self.page(401, "Not signed out", "")
        SESSIONS.pop(self.session_id(), None)
        return self.page(200, "Signed out", html.escape(claims["email"]))

    def deliver(self, email: str, query: dict[str, str], cookie: str = "") -> None:
        now = int(time.time())
        claims = {"iat": now, "exp": now + 60, "jti": secrets.token_urlsafe(16), "email": email, "aud": AUDIENCE}
        if "nonce" in query:
            claims["nonce"] = query["nonce"]
        signed = f"{encode({'alg': 'HS256', 'typ': 'JWT'})}.{encode(claims)}"
        back = {"return_to": query["return_to"]} if "return_to" in query else {}
        self.page(
            200,
            "You are signed in",
            f'<form method="post" action="{html.escape(f"{RETURN_URL}?{urlencode(back)}")}">'
            f'<input type="hidden" name="jwt" value="{signed}.{sign(signed)}"><button>Go on</button></form>',
            cookie,
        )

    def show_form(self, problem: str = "", status: int = 200) -> None:
        csrf = self.session().get("csrf")
        cookie = "" if csrf else self.begin(csrf=(csrf := secrets.token_urlsafe(16)))
        self.page(
            status,
            "Sign in",
            f'<p>{problem}<form method="post"><input type="hidden" name="csrf" value="{csrf}">'
            '<input type="email" name="email"><input type="password" name="password"><button>Sign in</button></form>',
            cookie,
        )

    def page(self, status: int, title: str, body: str, cookie: str = "") -> None:
        octets = f"<!doctype html><title>{title}</title><h1>{title}</h1>{body}".encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(octets)))
        self.send_header("Cache-Control", "no-store")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
        if cookie:
            self.send_header("Set-Cookie", f"sid={cookie}; Path=/; HttpOnly; SameSite=Lax")
        self.end_headers()
        self.wfile.write(octets)

    def query(self) -> dict[str, str]:
        return {name: values[0] for name, values in parse_qs(urlsplit(self.path).query).items()}

    def session_id(self) -> str:
        found = SimpleCookie(self.headers.get("Cookie", "")).get("sid")
        return found.value if found else ""

    def session(self) -> dict[str, str]:
        return SESSIONS.get(self.session_id(), {})

    def begin(self, **content: str) -> str:
        name = secrets.token_urlsafe(24)
        SESSIONS[name] = content
        return name


def encode(part: dict[str, object]) -> str:
    return urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()


def sign(text: str) -> str:
    return urlsafe_b64encode(hmac.digest(KEY, text.encode(), "sha256")).rstrip(b"=").decode()


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Site).serve_forever()
