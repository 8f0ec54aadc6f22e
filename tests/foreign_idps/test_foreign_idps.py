"""check-idp names each defect of identity providers that others wrote, and has nothing to say about a good one."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.cast import ALICE
from lab.ports import free_port
from shared.keys import load_key_set
from sp.diagnosis.conformance import check_idp, grade
from sp.diagnosis.inspector import Finding
from sp.diagnosis.journey import Credentials
from sp.providers.settings_parser import parse_provider
from tests.examples.servers import find, running

HERE = Path(__file__).parent
GATEWAY = "http://127.0.0.1:9"  # a closed port: no request may reach the gateway
PATHS = ("/sso/login/jwt",)
KEY = "a secret of the cast, long enough for SHA-256"
AUDIENCE = "https://app.example.org"

CARELESS = (
    "lifetime",
    "nonce",
    "return_to",
    "address",
    "no_store",
    "no_referrer",
    "cookie_http_only",
    "form_csrf",
    "user_enumeration",
    "clock",
)
DANGEROUS = {
    "fresh_tokens": {"fresh_tokens"},
    "foreign_return": {"foreign_return"},
    "token_audience": {"token_audience"},
    "token_type": {"token_type"},
    "token_algorithm": {"token_algorithm", "token_signature"},  # a token without a signature has two faults
    "session_renewed": {"session_renewed"},
    "redirects": {"redirects"},
    "framing": {"framing"},
    "user_timing": {"user_timing"},
    "sign_out_signature": {"sign_out_signature"},
}


@contextmanager
def started(command: list[str], folder: Path) -> Iterator[str]:
    binary = find(command[0])
    if binary is None:
        pytest.skip(f"no {command[0]} on this machine; tools/system-packages installs it")
    port = free_port()
    env = {
        "RETURN_URL": f"{GATEWAY}/sso/login/jwt",
        "SERVICE_KEY": KEY,
        "AUDIENCE": AUDIENCE,
        "EMAIL": ALICE.email,
        "PASSWORD": ALICE.password,
        "TMPDIR": str(folder),
    }
    with running([binary, *(part.replace("PORT", str(port)) for part in command[1:])], port, folder, env):
        yield f"http://127.0.0.1:{port}"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with started([sys.executable, str(HERE / "good.py"), "PORT"], tmp_path_factory.mktemp("good")) as url:
        yield url


@pytest.fixture(scope="module")
def careless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    command = ["php", "-S", "127.0.0.1:PORT", str(HERE / "careless.php")]
    with started(command, tmp_path_factory.mktemp("careless")) as url:
        yield url


@pytest.fixture(scope="module")
def dangerous(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with started(["node", str(HERE / "dangerous.mjs"), "PORT"], tmp_path_factory.mktemp("dangerous")) as url:
        yield url


def check(url: str) -> list[Finding]:
    settings = {
        "preset": "ispring",
        "login_url": f"{url}/login-token/",
        "logout_url": f"{url}/logout",
        "audience": {"expected": AUDIENCE, "match": True, "required": True},
        "deliveries": ["query", "form"],
        "algorithm": "HS256",
    }
    provider = parse_provider("foreign", settings)
    keys = load_key_set([KEY], "HS256")
    return check_idp(provider, keys, Credentials(ALICE.email, ALICE.password), GATEWAY, PATHS)


def complaints(url: str) -> set[str]:
    return {finding.check for finding in check(url) if finding.outcome in ("failed", "advice")}


def test_there_is_nothing_to_say_about_the_good_one(good: str) -> None:
    findings = check(good)
    assert [finding for finding in findings if finding.outcome in ("failed", "advice")] == []
    assert grade(findings) == "A"


def test_there_is_nothing_to_say_about_the_other_two_without_their_defects(careless: str, dangerous: str) -> None:
    assert complaints(f"{careless}/none") == set()
    assert complaints(f"{dangerous}/none") == set()


@pytest.mark.parametrize("defect", CARELESS)
def test_each_defect_of_the_careless_one_is_named(defect: str, careless: str) -> None:
    assert complaints(f"{careless}/{defect}") == {defect}


@pytest.mark.parametrize("defect", DANGEROUS)
def test_each_defect_of_the_dangerous_one_is_named(defect: str, dangerous: str) -> None:
    assert complaints(f"{dangerous}/{defect}") == DANGEROUS[defect]


def test_ten_defects_at_once_are_all_named(careless: str, dangerous: str) -> None:
    assert complaints(f"{careless}/all") == set(CARELESS)
    assert complaints(f"{dangerous}/all") == set().union(*DANGEROUS.values())
