"""`doctor --app` says whom an application believes when it is asked past the gateway."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import jwt
import pytest

from lab.server import ServerThread
from sp.diagnosis.doctor.trust import Application, ask_application
from sp.diagnosis.inspector import Finding
from tests.support.gateway import URL, core_of, make_gateway

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

    from sp.components import Components

Reads = Callable[["WSGIEnvironment"], str]
HOST = urlsplit(URL).netloc
EVERY = ("app_expired", "app_not_yet_valid", "app_audience", "app_issuer", "app_key", "app_alg_none")


@pytest.fixture(scope="module")
def core(tmp_path_factory: pytest.TempPathFactory) -> "Components":
    return core_of(make_gateway(tmp_path_factory.mktemp("gateway")))


def findings(core: "Components", reads: Reads) -> dict[str, Finding]:
    def application(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        try:
            person = reads(environ)
        except jwt.PyJWTError:
            person = ""
        start_response("200 OK" if person else "401 Unauthorized", [("Content-Type", "text/plain")])
        return [f"You are {person}".encode()]

    from shared.clock import time_now

    with ServerThread(application) as server:
        asked = Application(urlsplit(f"{server.url}/profile"), URL, HOST, core.assertions.sign)
        return {finding.check: finding for finding in ask_application(asked, int(time_now()))}


def failed(found: dict[str, Finding]) -> set[str]:
    return {name for name, finding in found.items() if finding.outcome == "failed"}


def verifying(core: "Components", spent: set[str] | None = None, **options: Any) -> Reads:
    """Return a reader that does what docs/guides/proxies.md shows, but for *options*."""
    keys = {jwk["kid"]: jwt.PyJWK(jwk).key for jwk in core.assertions.published()}

    def read(environ: "WSGIEnvironment") -> str:
        token = environ.get("HTTP_X_LYCHGATE_ASSERTION", "")
        header = jwt.get_unverified_header(token)
        if header["alg"] == "none" and not options.get("verify_alg", True):
            return str(jwt.decode(token, options={"verify_signature": False})["email"])
        key = keys.get(header.get("kid", ""))
        if not options.get("verify_key", True) or key is None:
            if options.get("verify_key", True) or header["alg"] == "none":
                raise jwt.InvalidKeyError
            return str(jwt.decode(token, options={"verify_signature": False})["email"])
        wanted = {
            "require": ["sub", "exp", "jti"],
            **{k: v for k, v in options.items() if k not in ("verify_alg", "verify_key")},
        }
        claims = jwt.decode(token, key, algorithms=["ES256"], issuer=URL, audience=HOST, options=wanted)  # type: ignore[arg-type]
        if spent is not None:
            if claims["jti"] in spent:
                raise jwt.InvalidTokenError
            spent.add(claims["jti"])
        return str(claims["email"])

    return read


def test_an_application_that_verifies_believes_nothing_false(core: "Components") -> None:
    found = findings(core, verifying(core))
    assert failed(found) == set()
    assert {found[name].outcome for name in (*EVERY, "app_plain_headers", "app_assertion")} == {"passed"}
    assert found["app_used_twice"].outcome == "advice"


def test_an_application_that_remembers_each_jti_gets_no_advice_about_it(core: "Components") -> None:
    assert findings(core, verifying(core, spent=set()))["app_used_twice"].outcome == "passed"


@pytest.mark.parametrize(
    ("option", "expected"),
    [
        ({"verify_exp": False}, {"app_expired"}),
        ({"verify_nbf": False, "verify_iat": False}, {"app_not_yet_valid"}),
        ({"verify_aud": False}, {"app_audience"}),
        ({"verify_iss": False}, {"app_issuer"}),
        ({"verify_alg": False}, {"app_alg_none"}),
        ({"verify_key": False}, {*EVERY} - {"app_alg_none"}),
    ],
)
def test_each_check_that_an_application_leaves_out_is_named(
    option: dict[str, Any], expected: set[str], core: "Components"
) -> None:
    assert failed(findings(core, verifying(core, **option))) == expected


@pytest.mark.parametrize("key", ["HTTP_REMOTE_USER", "HTTP_X_FORWARDED_EMAIL", "HTTP_X_AUTH_REQUEST_USER"])
def test_an_application_that_trusts_plain_headers_is_named(key: str, core: "Components") -> None:
    found = findings(core, lambda environ: str(environ.get(key, "")))
    assert failed(found) == {"app_plain_headers"}
    assert found["app_assertion"].outcome == "skipped"


def test_an_application_that_cannot_be_reached_is_no_finding(core: "Components", tmp_path: Path) -> None:
    asked = Application(urlsplit("http://127.0.0.1:9/"), URL, HOST, core.assertions.sign)
    assert [finding.outcome for finding in ask_application(asked, 0)] == ["skipped"]
