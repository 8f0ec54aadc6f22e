"""A minimal OpenID provider for one person: it issues an authorization code, and a signed ID token for this code.

Apache's mod_auth_openidc uses it. The provider runs in a thread of the benchmark, and gets requests only at the
sign-in, which is not measured.
"""

from __future__ import annotations

import base64
import json
import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "bench", "not-a-secret-in-a-benchmark-on-this-machine"


class _Provider(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        """Answer the browser at /authorize, and the relying party's requests for the endpoints and the key."""
        place = urlsplit(self.path)
        if place.path == "/.well-known/openid-configuration":
            self._tell(self.server.metadata())
            return
        if place.path == "/jwks":
            self._tell({"keys": [self.server.key.as_dict(private=False)]})
            return
        asked = {name: values[0] for name, values in parse_qs(place.query).items()}
        code = secrets.token_urlsafe(16)
        self.server.nonces[code] = asked.get("nonce", "")
        self.send_response(303)
        self.send_header("Location", f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}")
        self.end_headers()

    def do_POST(self) -> None:
        """Exchange a code for an ID token. Each code works once."""
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
        expected = "Basic " + base64.b64encode(f"{CLIENT}:{SECRET}".encode()).decode()
        nonce = self.server.nonces.pop(form["code"][0], None)
        if nonce is None or self.headers["Authorization"] != expected:
            self.send_error(400)
            return
        now = int(time.time())
        claims = {
            "iss": self.server.url, "aud": CLIENT, "sub": "4711", "iat": now, "exp": now + 3_600, "nonce": nonce,
            "email": "alice@example.com", "name": "Alice Liddell", "groups": ["staff"],
        }  # fmt: skip
        token = jwt.encode({"alg": "RS256", "kid": self.server.key.kid}, claims, self.server.key)
        self._tell({"access_token": secrets.token_urlsafe(16), "token_type": "Bearer", "id_token": token})

    def log_message(self, *_arguments: object) -> None:
        """Log nothing."""

    def _tell(self, found: dict[str, Any]) -> None:
        body = json.dumps(found).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Provider)
        self.key = RSAKey.generate_key(2048, {"use": "sig", "alg": "RS256"}, auto_kid=True)
        self.nonces: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def metadata(self) -> dict[str, Any]:
        """Return the metadata of OpenID Connect Discovery 1.0."""
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}/authorize",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/jwks",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
        }


@contextmanager
def running_provider() -> Iterator[str]:
    """Run a provider until the block ends; yield its URL, which is its issuer."""
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.url
        server.shutdown()
    thread.join()
