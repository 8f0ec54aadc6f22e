"""`lab attack` finds the planted holes of other people's service providers, and reports no others."""

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path

import pytest
from flask import Flask, redirect, request
from werkzeug.wrappers import Response

from lab.__main__ import main
from lab.faults import FAULTS
from lab.forging import key_for
from lab.ports import free_port
from lab.server import ServerThread
from tests.lab.conftest import with_jose, with_php
from tests.lab.services import by_hand, with_pyjwt
from tests.lab.services.by_hand import Holes
from tests.lab.services.with_pyjwt import careful
from tests.support.gateway import make_gateway

SECRET = "a secret of the tests, long enough for SHA-256"
RSA = key_for("RS256")
SOME = ("expired", "alg-confusion", "wrong-key", "claims-edited", "replayed", "email-missing", "huge")
REPLAYS = {"replayed", "replayed-padded", "replayed-last-character"}
FORGED = {
    *("wrong-key", "key-empty", "key-guessable", "claims-edited", "signature-stripped", "signature-short"),
    *("signature-zero", "signature-bit", "alg-none", "alg-none-spelled", "alg-none-signed"),
    *("jwk-embedded", "jku", "x5u", "kid-path", "kid-sql"),
}
CLAIMS = ["--claim", "iss=https://idp.example.com", "--claim", "aud=https://sp.example.com"]
Printed = pytest.CaptureFixture[str]


def attack(capsys: Printed, url: str, *options: str, key: str = SECRET) -> tuple[int, set[str]]:
    """Return the exit status and the faults that count as accepted."""
    status = main(["attack", url, "--key", key, "--json", *options])
    shown = json.loads(capsys.readouterr().out)
    assert shown["passed"] == (status == 0)
    return status, set(shown["accepted"])


@pytest.mark.parametrize("manner", [by_hand.redirects, by_hand.same_status, by_hand.tells_json, by_hand.statuses])
@pytest.mark.parametrize(
    ("holes", "found"),
    [
        (Holes(), set()),
        (Holes(expired=True), {"expired"}),
        (Holes(confused=True), {"alg-confusion"}),
    ],
    ids=["good", "accepts expired", "confuses algorithms"],
)
def test_the_planted_hole_is_found_and_nothing_else(
    holes: Holes, found: set[str], manner: by_hand.Manner, capsys: Printed
) -> None:
    options = [] if manner is by_hand.redirects else [option for name in SOME for option in ("--only", name)]
    with ServerThread(by_hand.service(RSA.public_pem, holes, manner)) as server:
        assert attack(capsys, f"{server.url}/token", *options, key=RSA.private_pem) == (1 if found else 0, found)


@pytest.mark.parametrize(
    ("holes", "found"),
    [
        (Holes(none=True), {"alg-none"}),
        (Holes(replayed=True), REPLAYS),
        (Holes(audience=True), {"wrong-audience"}),
    ],
)
def test_other_holes_are_found_too(holes: Holes, found: set[str], capsys: Printed) -> None:
    with ServerThread(by_hand.service(RSA.public_pem, holes)) as server:
        options = ["--claim", "aud=ours", "--delivery", "form"]
        assert attack(capsys, f"{server.url}/token", *options, key=RSA.private_pem) == (1, found)


@pytest.mark.parametrize(
    ("verify", "forgets", "found"),
    [
        (careful, False, set()),
        (careful, True, {"replayed", "replayed-padded"}),  # PyJWT itself refuses the third spelling
        (with_pyjwt.accepts_expired, False, {"expired"}),
        (with_pyjwt.never_verifies, False, FORGED),
    ],
)
def test_a_service_on_pyjwt(verify: with_pyjwt.Verify, forgets: bool, found: set[str], capsys: Printed) -> None:
    with ServerThread(with_pyjwt.service(SECRET, verify, forgets_jti=forgets)) as server:
        assert attack(capsys, f"{server.url}/jwt") == (1 if found else 0, found)


@pytest.mark.parametrize(("hole", "found"), [("", set()), ("expired", {"expired"}), ("confused", {"alg-confusion"})])
@pytest.mark.parametrize("start", [with_jose, with_php])
def test_services_in_other_languages(
    start: Callable[[str, Path], AbstractContextManager[str]],
    hole: str,
    found: set[str],
    tmp_path: Path,
    capsys: Printed,
) -> None:
    with start(hole, tmp_path) as url:
        assert attack(capsys, url, key=RSA.private_pem) == (1 if found else 0, found)


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Callable[..., str]]:
    """Return the function that starts our gateway with settings of the test's own, and returns its origin."""
    with ExitStack() as stack:

        def start(**settings: object) -> str:
            port = free_port()
            url = f"http://127.0.0.1:{port}"
            common = {"keys": [SECRET], "login_url": "https://login.example.org/", "default": True}
            trust = {"issuer": "https://idp.example.com", "audience": "https://sp.example.com"}
            app = make_gateway(tmp_path, {"corporate": {**common, **trust, **settings}}, SP_EXTERNAL_URL=url)
            stack.enter_context(ServerThread(app, port))
            return url

        yield start


@pytest.mark.parametrize("delivery", ["query", "form", "header"])
def test_our_own_gateway_has_no_hole(delivery: str, gateway: Callable[..., str], capsys: Printed) -> None:
    url = gateway(preset="ispring", unsolicited="accept", deliveries=["query", "form", "header"])
    assert attack(capsys, f"{url}/sso/login/jwt", "--delivery", delivery, *CLAIMS) == (0, set())


def test_a_sign_in_that_begins_at_the_service_is_attacked_with_its_cookies(
    gateway: Callable[..., str], capsys: Printed
) -> None:
    url = gateway(preset="ispring", unsolicited="restart")
    start = ["--start", f"{url}/sso/start?return_to=/"]
    assert attack(capsys, f"{url}/sso/login/jwt", *start, *CLAIMS) == (0, set())
    assert main(["attack", f"{url}/sso/login/jwt", "--key", SECRET, *CLAIMS]) == 2
    assert "--start" in capsys.readouterr().err


def test_a_nonce_that_the_service_asks_for_is_in_the_token(gateway: Callable[..., str], capsys: Printed) -> None:
    url = gateway(preset="strict")
    options = ["--start", f"{url}/sso/start?return_to=/", "--strict"]
    assert attack(capsys, f"{url}/sso/login/jwt", *options, *CLAIMS) == (0, set())


def test_strict_counts_what_only_a_faulty_identity_provider_sends(capsys: Printed) -> None:
    with ServerThread(with_pyjwt.service(SECRET)) as server:
        status, found = attack(capsys, f"{server.url}/jwt", "--strict")
    assert status == 1
    assert "claims-doubled" in found
    assert all(FAULTS[name].level == "strict" for name in found)


def test_a_line_for_each_fault_and_a_summary(capsys: Printed) -> None:
    with ServerThread(with_pyjwt.service(SECRET, with_pyjwt.accepts_expired)) as server:
        assert main(["attack", f"{server.url}/jwt", "--key", SECRET]) == 1
    *lines, summary = capsys.readouterr().out.splitlines()
    assert len(lines) == len(FAULTS)
    found = next(line for line in lines if " expired " in line)
    assert found.startswith("ACCEPTED")
    assert "RFC 7519, section 4.1.4" in found
    assert summary.startswith("1 holes, ")


def test_faults_can_be_chosen_and_left_out(capsys: Printed) -> None:
    with ServerThread(with_pyjwt.service(SECRET, with_pyjwt.never_verifies)) as server:
        chosen = ["--only", "wrong-key", "--only", "alg-none", "--skip", "alg-none"]
        assert attack(capsys, f"{server.url}/jwt", *chosen) == (1, {"wrong-key"})


def test_a_service_without_jti_is_not_blamed_for_a_second_use(capsys: Printed) -> None:
    with ServerThread(by_hand.service(RSA.public_pem, Holes(replayed=True))) as server:
        main(["attack", f"{server.url}/token", "--key", RSA.private_pem, "--claim", "jti=x", "--only", "replayed"])
        assert "ACCEPTED" in capsys.readouterr().out
    with ServerThread(no_second_use()) as server:
        assert attack(capsys, f"{server.url}/token", "--without", "jti", "--only", "replayed") == (0, set())


def no_second_use() -> Flask:
    """A service whose tokens have no jti: it takes each as often as it comes."""
    app = Flask(__name__)

    @app.get("/token")
    def take() -> tuple[str, int]:
        return ("", 204) if request.args["jwt"].count(".") == 2 and "e" in request.args["jwt"][:1] else ("", 401)

    return app


@pytest.mark.parametrize(
    ("url", "key", "why"),
    [
        ("/token", "another secret", "same answer"),
        ("/nowhere", SECRET, "same answer"),
    ],
)
def test_the_control_fails_where_a_good_token_is_refused(url: str, key: str, why: str, capsys: Printed) -> None:
    with ServerThread(with_pyjwt.service(SECRET)) as server:
        assert main(["attack", f"{server.url}{url}", "--key", key]) == 2
    assert why in capsys.readouterr().err


def test_the_control_fails_where_every_answer_is_the_same(capsys: Printed) -> None:
    with ServerThread(by_hand.service(RSA.public_pem, manner=by_hand.always_welcome)) as server:
        assert main(["attack", f"{server.url}/token", "--key", RSA.private_pem]) == 2
    assert "same answer" in capsys.readouterr().err


def test_the_control_fails_where_there_is_no_server(capsys: Printed) -> None:
    assert main(["attack", f"http://127.0.0.1:{free_port()}/", "--key", SECRET]) == 2
    assert "cannot be reached" in capsys.readouterr().err


def test_a_service_that_locks_the_test_out_is_not_called_good(capsys: Printed) -> None:
    with ServerThread(locking_out()) as server:
        assert main(["attack", f"{server.url}/", "--key", SECRET]) == 2
    assert "locked" in capsys.readouterr().err


def locking_out() -> Flask:
    """A service that refuses everyone after ten requests."""
    app, seen = Flask(__name__), []

    @app.get("/")
    def take() -> tuple[str, int]:
        seen.append(1)
        return ("", 204) if request.args.get("jwt", "").startswith("ey") and len(seen) < 10 else ("", 429)

    return app


def test_no_other_site_is_asked(capsys: Printed) -> None:
    asked = []
    elsewhere = Flask("elsewhere")

    @elsewhere.get("/")
    def come() -> str:
        asked.append(1)
        return ""

    app = Flask("service")
    with ServerThread(elsewhere) as other:

        @app.get("/")
        def take() -> Response:
            good = request.args["jwt"].startswith("ey")
            return redirect(f"{other.url.replace('127.0.0.1', 'localhost')}/") if good else Response("", 401)

        with ServerThread(app) as server:
            main(["attack", f"{server.url}/", "--key", SECRET, "--only", "expired"])
    assert "ACCEPTED" in capsys.readouterr().out
    assert asked == []


@pytest.mark.parametrize(
    "options",
    [["--only", "no-such"], ["--key", "file:/not/there"], ["--start", "ftp://example.org"], ["--claim", "x"]],
)
def test_wrong_usage_is_said_before_anything_is_sent(options: list[str], capsys: Printed) -> None:
    assert main(["attack", "http://127.0.0.1:9/", "--key", SECRET, *options]) == 2
    assert "error:" in capsys.readouterr().err
