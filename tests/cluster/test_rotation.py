"""Keys change while people keep signing in, ten a second for each kind of key, and no sign-in is rejected.

The HS key is entered at the gateway as a second one before it signs; RS and ES keys the gateway fetches by itself.
"""

import http.client
import math
import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import httpx
import jwt
import pytest

from lab.cast import ALICE
from lab.pair import Pair, table
from tests.conftest import StartPair

pytestmark = pytest.mark.cluster

ALGORITHMS = {"hs": "HS256", "rs": "RS256", "es": "ES256"}  # by the name of provider and service alike
PER_SECOND = 10  # sign-ins with each of them, unless the machine is slower
AT_LEAST = 30  # sign-ins with each
KEPT = 1  # seconds for which a worker of the gateway may go on with the keys that it knows (SP_SESSION_CACHE)
SIGN_AFTER = 3  # seconds from the making of a key pair to its use; in real life ten minutes
IN_FLIGHT = 9  # sign-ins of one kind under way at a time: three kinds and three rotations fit into the pool
AT_MOST = 120  # seconds for all of it
MORE = 1.5  # seconds of sign-ins after the last new key was first seen
BUSY_SECONDS = 60  # for which a request is sent again while the answer is that the program is busy
PAUSE = 0.2  # seconds before that
# Nothing was spent, and the answer says to try again: the store is busy, or more requests than the gateway lets wait
# for one fetch name the new key. A key that stays unavailable fails the test when the time is up.
BUSY = re.compile(r"503\Z|.*[?&]code=key_unavailable(&|\Z)")
Cookies = Mapping[str, str]
SECRET = re.compile(r"^[A-Za-z0-9_-]{64,}$", re.MULTILINE)


@dataclass(frozen=True)
class SignIn:
    """What came of one sign-in, and its token."""

    outcome: str
    token: str


def test_keys_of_every_kind_change_under_steady_sign_ins_and_none_is_refused(
    start_pair: StartPair, tmp_path: Path
) -> None:
    workers = ["--workers", "2"]
    with start_pair(people=[ALICE], sp_args=workers, idp_args=workers, sp_env={"SP_SESSION_CACHE": str(KEPT)}) as pair:
        old_secret = register(pair, tmp_path)
        began = time.monotonic()
        apply_providers(pair, tmp_path, [old_secret])
        command = time.monotonic() - began  # seconds; many times more on a busy machine than on a quiet one
        alice = signed_in_cookies(pair)
        for name in ALGORITHMS:  # the first one of each fetches keys and creates the account
            assert sign_in(pair, name, alice).outcome == "signed in"
        with ThreadPoolExecutor(32) as pool:
            rotations = [
                pool.submit(rotate_secret, pair, tmp_path, old_secret, KEPT + math.ceil(6 * command)),
                *(pool.submit(rotate_key_pair, pair, name) for name in ("rs", "es")),
            ]
            done = steadily_sign_in(pool, pair, alice, rotations)
    new_secret = rotations[0].result()
    for name, of_one in done.items():
        assert [sign_in.outcome for sign_in in of_one if sign_in.outcome != "signed in"] == [], name
        assert len(of_one) >= AT_LEAST, name
    used = {name: {key_of(sign_in.token, (old_secret, new_secret)) for sign_in in done[name]} for name in done}
    assert {name: len(keys) for name, keys in used.items()} == dict.fromkeys(ALGORITHMS, 2)  # the old and the new


def register(pair: Pair, folder: Path) -> str:
    """Let both programs know each other three times, once for each algorithm; return the HS secret that was made."""
    services = "".join(
        table(
            f"services.{name}",
            {
                "preset": "lychgate",
                "return_url": f"{pair.sp.url}/sso/login/jwt/{name}",
                "algorithm": algorithm,
                "keys": [],
            },
        )
        for name, algorithm in ALGORITHMS.items()
    )
    (folder / "services.toml").write_text(services)
    printed = pair.idp_command("services", "apply", str(folder / "services.toml")).stdout
    secret = SECRET.search(printed)
    assert secret is not None
    apply_providers(pair, folder, [secret[0]])
    return secret[0]


def apply_providers(pair: Pair, folder: Path, secrets: list[str]) -> None:
    """Give the gateway the *secrets*, newest first, and the URL of the public keys."""
    providers = "".join(
        table(
            f"providers.{name}",
            {
                "preset": "ispring",
                "algorithm": algorithm,
                "login_url": f"{pair.idp.url}/login-token/?service={name}",
                "unsolicited": "refuse",
                "require_nonce": True,
                **({"keys": secrets} if name == "hs" else {"jwks_url": f"{pair.idp.url}/.well-known/jwks.json"}),
            },
        )
        for name, algorithm in ALGORITHMS.items()
    )
    (folder / "providers.toml").write_text(providers)
    pair.sp_command("providers", "apply", str(folder / "providers.toml"))


def rotate_secret(pair: Pair, folder: Path, old_secret: str, sign_after: int) -> str:
    """Have a new secret made, and enter it at the gateway as a second one before it signs. Return it."""
    printed = pair.idp_command("keys", "rotate", "hs", "--sign-after", str(sign_after)).stdout
    signs_from = time.monotonic() + sign_after
    new_secret = SECRET.search(printed)
    assert new_secret is not None
    apply_providers(pair, folder, [old_secret, new_secret[0]])
    assert time.monotonic() + KEPT < signs_from, "the gateway got the new secret too late for this test"
    time.sleep(max(0, signs_from - time.monotonic()))
    return new_secret[0]


def rotate_key_pair(pair: Pair, name: str) -> str:
    """Generate a new key pair at the identity provider, and do nothing else: the gateway fetches its public key."""
    pair.idp_command("keys", "rotate", name, "--sign-after", str(SIGN_AFTER))
    time.sleep(SIGN_AFTER)
    return ""


def steadily_sign_in(
    pool: ThreadPoolExecutor, pair: Pair, alice: Cookies, rotations: Sequence[Future[str]]
) -> dict[str, list[SignIn]]:
    """Begin a sign-in with each algorithm every tenth of a second, until well after each new key was first used.

    No more than IN_FLIGHT of a kind are under way, so that a slow machine gets them more slowly.
    """
    under_way: dict[str, list[Future[SignIn]]] = {name: [] for name in ALGORITHMS}
    began, number, more = time.monotonic(), 0, int(MORE * PER_SECOND)
    while more and time.monotonic() < began + AT_MOST:
        time.sleep(max(0, began + number / PER_SECOND - time.monotonic()))
        for name, of_one in under_way.items():
            if len(of_one) >= IN_FLIGHT:
                of_one[-IN_FLIGHT].result()
            of_one.append(pool.submit(sign_in, pair, name, alice))
        number += 1
        more -= all(rotation.done() for rotation in rotations) and all(map(has_new_key, under_way.values()))
    return {name: [sign_in.result() for sign_in in of_one] for name, of_one in under_way.items()}


def has_new_key(of_one: Sequence[Future[SignIn]]) -> bool:
    """Tell whether the latest token names another key than the first; a secret has no name."""
    first, latest = of_one[0].result(), next(each.result() for each in reversed(of_one) if each.done())
    kid, latest_kid = (jwt.get_unverified_header(each.token).get("kid") for each in (first, latest))
    return kid is None or kid != latest_kid


def sign_in(pair: Pair, name: str, alice: Cookies) -> SignIn:
    """Go the whole way in a browser that the gateway does not know, and the identity provider does."""
    to_provider, pending = get(f"{pair.sp.url}/sso/start/{name}?return_to=/page", {})
    with_token, _cookies = get(to_provider, alice)
    assert "jwt=" in with_token, f"the identity provider answered {with_token}"
    landing, cookies = get(with_token, pending)
    signed_in = landing == "/page" and "sp_session" in cookies
    return SignIn("signed in" if signed_in else landing, parse_qs(urlsplit(with_token).query)["jwt"][0])


def get(url: str, cookies: Cookies) -> tuple[str, Cookies]:
    """Request *url*, again while the program is busy; return the redirect target, and the cookies set."""
    until = time.monotonic() + BUSY_SECONDS
    location, given = get_once(url, cookies)
    while BUSY.match(location) and time.monotonic() < until:
        time.sleep(PAUSE)
        location, given = get_once(url, cookies)
    return location, given


def get_once(url: str, cookies: Cookies) -> tuple[str, Cookies]:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=15)
    try:
        carried = "; ".join(f"{name}={value}" for name, value in cookies.items())
        headers = {"Accept": "text/html", "Cookie": carried} if carried else {"Accept": "text/html"}
        connection.request("GET", f"{parts.path}?{parts.query}", headers=headers)
        answer = connection.getresponse()
        answer.read()
        given = [line.partition(";")[0].partition("=") for line in answer.headers.get_all("Set-Cookie", [])]
        return answer.headers.get("Location", f"{answer.status}"), {name: value for name, _, value in given}
    finally:
        connection.close()


def signed_in_cookies(pair: Pair) -> Cookies:
    """Sign Alice in at the identity provider; return what her browser holds then."""
    with httpx.Client(base_url=pair.idp.url, trust_env=False) as browser:
        form = browser.get("/login-token/?service=hs").text
        hidden = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', form)
        assert hidden is not None
        typed = {"csrf_token": hidden[1], "email": ALICE.email, "password": ALICE.password}
        assert browser.post("/login-token/?service=hs", data=typed).status_code == 303
        return {"idp_session": browser.cookies["idp_session"]}


def key_of(token: str, secrets: tuple[str, ...]) -> str:
    """Return the name of the key that signed the token; for a secret, which has none, try by a library not ours."""
    kid = jwt.get_unverified_header(token).get("kid")
    if kid is not None:
        return str(kid)
    for secret in secrets:
        try:
            jwt.decode(token, secret, algorithms=["HS256"], options={"verify_aud": False, "verify_exp": False})
        except jwt.InvalidSignatureError:
            continue
        return secret
    raise AssertionError("signed by neither secret")
