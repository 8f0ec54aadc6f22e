"""An emulated service besides its rules: how a sign-in begins and ends, what it remembers, and what it never tells."""

import json
import signal
import stat
import subprocess
import sys
import threading
import time
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs, parse_qsl, urlsplit

import httpx
import jwt
import pytest

from lab.drafts import draft
from lab.forging import key_for
from lab.keys import KeyUnreadable
from lab.minting import ispring_token, mint
from lab.ports import free_port
from lab.service_provider import PRODUCTS, EmulatedService, NoAttempt, UnknownProduct
from lab.services import memory
from lab.services.memory import Attempt, Memory, NoRoom, Visitor
from tests.lab.emulated import ALICE, KEYS, LOGIN_URL, LOGOUT_URL, SignIn

SECRET = KEYS["ispring"].secret


@pytest.fixture(scope="module")
def one_client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False) as browser:
        yield browser


@pytest.fixture
def client(one_client: httpx.Client) -> httpx.Client:
    """A browser without cookies."""
    one_client.cookies.clear()
    return one_client


@pytest.fixture
def learn() -> Iterator[EmulatedService]:
    with EmulatedService("ispring", SECRET, login_url=LOGIN_URL, logout_url=LOGOUT_URL) as service:
        yield service


def sign_in(service: EmulatedService, client: httpx.Client, **parameters: str) -> httpx.Response:
    answer = SignIn(service, client).send(**parameters)
    assert service.last().accepted, service.last().found
    return answer


def connected(name: str, **settings: str) -> EmulatedService:
    return EmulatedService(name, KEYS[name], login_url=LOGIN_URL, logout_url=LOGOUT_URL, **settings)  # type: ignore[arg-type]


# --- How a sign-in begins ---

ASKED = {  # what each product adds to its login URL
    "ispring": set(),
    "zendesk": {"brand_id", "locale_id", "return_to", "timestamp"},
    "loginradius": set(),
    "freshworks": {"response_type", "client_id", "scope", "state", "redirect_uri", "nonce"},
    "metabase": {"return_to"},
    "discourse": {"sso", "sig"},
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_sign_in_begins_as_the_product_asks(name: str, client: httpx.Client) -> None:
    with connected(name) as service:
        begun = client.get(service.start_url)
        location = urlsplit(begun.headers["location"])
        assert begun.headers["location"].startswith(LOGIN_URL)
        assert set(parse_qs(location.query)) == ASKED[name]


@pytest.mark.parametrize("name", ["zendesk", "freshworks", "metabase", "discourse"])
def test_a_sign_in_that_began_at_a_page_ends_there(name: str, client: httpx.Client) -> None:
    with connected(name) as service:
        begun = client.get(f"{service.url}/deep/page?a=b")
        asked = dict(parse_qsl(urlsplit(begun.headers["location"]).query))
        ends = SignIn(service, client)
        ends.asked = asked
        answer = ends.send(**({"return_to": asked["return_to"]} if "return_to" in asked else {}))
        assert answer.headers["location"] == "/deep/page?a=b"
        assert ALICE in client.get(service.url + answer.headers["location"]).text


def test_metabase_without_a_token_begins_a_sign_in(client: httpx.Client) -> None:
    with connected("metabase") as service:
        assert client.get(service.token_url).headers["location"].startswith(LOGIN_URL)


@pytest.mark.parametrize(
    "target", ["https://mallory.example/", "//mallory.example/", "/\\mallory.example", "/\tx", "x"]
)
def test_attack_zendesk_leads_to_no_other_site(target: str, client: httpx.Client) -> None:
    with connected("zendesk") as service:
        assert sign_in(service, client, return_to=target).headers["location"] == "/"


def test_without_a_login_url_a_page_says_that_a_sign_in_cannot_begin(client: httpx.Client) -> None:
    with EmulatedService("ispring", SECRET) as service:
        answer = client.get(service.start_url)
        assert answer.status_code == 401
        assert "No login URL was given" in answer.text
        service.connect(login_url=LOGIN_URL)
        assert client.get(service.start_url).headers["location"] == LOGIN_URL


def test_attack_a_state_of_another_browser_signs_in_no_one(client: httpx.Client) -> None:
    with connected("freshworks") as service, httpx.Client(trust_env=False) as mallory:
        stolen = SignIn(service, mallory)
        assert stolen.service is service
        stolen.client = client
        stolen.send()
        assert service.last().rule == "state"


def test_attack_two_requests_with_one_state_sign_in_once(client: httpx.Client) -> None:
    with connected("freshworks") as service:
        begun = SignIn(service, client)
        token, cookies = begun.good().token(), dict(client.cookies)
        statuses: list[int] = []

        def race() -> None:
            query = {"state": begun.asked["state"], "id_token": token}
            statuses.append(httpx.get(service.token_url, params=query, cookies=cookies, trust_env=False).status_code)

        racers = [threading.Thread(target=race) for _ in range(8)]
        for racer in racers:
            racer.start()
        for racer in racers:
            racer.join()
        assert sorted(statuses) == [302, *[401] * 7]


def test_a_sign_in_that_was_begun_ends_once() -> None:
    remembered, visitor = Memory(), Visitor()
    begun = memory.Begun("state", "nonce", "/", 0.0)
    remembered.begin(visitor, begun)
    assert [remembered.end(visitor, begun) for _ in range(2)] == [True, False]
    assert not remembered.end(None, begun)


def test_discourse_signs_what_it_asks(client: httpx.Client) -> None:
    with connected("discourse") as service:
        asked = SignIn(service, client).asked
        assert dict(parse_qsl(b64decode(asked["sso"]).decode()))["return_sso_url"] == service.token_url


def test_discourse_takes_a_nonce_for_ten_minutes(client: httpx.Client) -> None:
    ahead = [0.0]
    settings = {"login_url": LOGIN_URL}
    with EmulatedService("discourse", SECRET, clock=lambda: time.time() + ahead[0], **settings) as service:  # type: ignore[arg-type]
        begun = SignIn(service, client)
        ahead[0] = 601
        key = key_for("HS256")
        assert begun.deliver(begun.members(), key).status_code == 419
        assert service.last().rule == "nonce"
        ahead[0] = 0
        begun = SignIn(service, client)
        ahead[0] = 598
        assert begun.deliver(begun.members(), key).status_code == 302


# --- How it ends ---


def test_ispring_signs_out_with_a_token_that_names_the_person(learn: EmulatedService, client: httpx.Client) -> None:
    sign_in(learn, client)
    location = client.post(f"{learn.url}/logout").headers["location"]
    assert location.startswith(f"{LOGOUT_URL}?jwt=")
    claims = jwt.decode(parse_qs(urlsplit(location).query)["jwt"][0], SECRET, algorithms=["HS256"])
    assert claims["email"] == ALICE
    assert set(claims) == {"iat", "jti", "exp", "email"}
    assert "You are not signed in" in client.get(learn.url).text


@pytest.mark.parametrize(
    ("name", "leads_to"),
    [("zendesk", LOGOUT_URL), ("freshworks", LOGOUT_URL), ("discourse", LOGOUT_URL), ("metabase", "/")],
)
def test_signing_out_leads_where_the_product_sends_people(name: str, leads_to: str, client: httpx.Client) -> None:
    with connected(name) as service:
        sign_in(service, client)
        assert client.post(f"{service.url}/logout").headers["location"] == leads_to
        assert "You are not signed in" in client.get(service.url).text


def test_loginradius_hands_out_an_access_token(client: httpx.Client) -> None:
    with connected("loginradius") as service:
        assert parse_qs(urlsplit(sign_in(service, client).headers["location"]).query)["access_token"]


# --- Keys ---


@pytest.mark.parametrize("algorithm", ["HS384", "HS512", "RS256", "RS512", "ES256", "ES384", "ES512"])
def test_loginradius_verifies_with_every_algorithm(algorithm: str, client: httpx.Client) -> None:
    key = key_for(algorithm)
    with EmulatedService("loginradius", key.material, algorithm=algorithm) as service:
        token = draft(key, {"id": "4711"}).token()
        assert client.get(service.token_url, params={"jwttoken": token}).status_code == 302
        assert service.last().accepted, service.last().found
        client.get(service.token_url, params={"jwttoken": draft(key_for(algorithm, "another"), {"id": "4711"}).token()})
        assert service.last().rule == "signature"


@pytest.mark.parametrize(
    ("name", "key", "says"),
    [
        ("ispring", "", "empty"),
        ("ispring", key_for("RS256").public_pem, "needs a shared secret"),
        ("freshworks", SECRET, "needs an RSA key"),
        ("freshworks", key_for("ES256").public_pem, "needs an RSA key"),
        ("ispring", "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----", "is not a key"),
        ("ispring", '{"kty": "EC"}', "missing or not valid"),
        ("ispring", '{"kty": "OKP"}', "kty"),
        ("ispring", "{", "not valid"),
    ],
)
def test_a_key_that_does_not_fit_is_refused_and_not_shown(name: str, key: str, says: str) -> None:
    with pytest.raises(KeyUnreadable, match=says) as refused:
        EmulatedService(name, key)
    assert not key or key not in str(refused.value)


def test_a_jwk_verifies_too(client: httpx.Client) -> None:
    for algorithm in ("RS256", "ES256"):
        key = key_for(algorithm)
        with EmulatedService("loginradius", json.dumps(key.jwk())) as service:
            client.get(service.token_url, params={"jwttoken": draft(key, {"id": "4711"}).token()})
            assert service.last().accepted, service.last().found


@pytest.mark.parametrize("name", PRODUCTS)
def test_without_a_key_one_is_made_with_which_a_test_signs(name: str, client: httpx.Client) -> None:
    with EmulatedService(name, login_url=LOGIN_URL) as service, EmulatedService(name, login_url=LOGIN_URL) as other:
        begun = SignIn(service, client)
        members = begun.members() if name == "discourse" else {}
        answer = begun.deliver(members, service.key) if members else begun.send(begun.good(service.key).token())
        assert answer.status_code == 302
        assert service.last().accepted
        assert service.key.private != other.key.private


def test_an_unknown_product_is_refused_with_the_names_that_there_are() -> None:
    with pytest.raises(UnknownProduct, match="ispring, zendesk"):
        EmulatedService("sharepoint", SECRET)


# --- Over HTTP ---


@pytest.mark.parametrize("name", PRODUCTS)
def test_it_says_where_tokens_go_and_which_rules_there_are(name: str, client: httpx.Client) -> None:
    with connected(name) as service:
        about = client.get(f"{service.url}/__lab__/").json()
        assert about["token_url"] == service.token_url
        assert (about["parameter"], about["delivery"]) == (service.parameter, service.delivery)
        assert about["start_url"] == service.start_url
        assert [rule["name"] for rule in about["rules"]] == [rule.name for rule in PRODUCTS[name].rules]
        assert KEYS[name].algorithm == about["algorithm"]


def test_the_last_attempt_is_told_until_a_reset(learn: EmulatedService, client: httpx.Client) -> None:
    assert client.get(f"{learn.url}/__lab__/last").json() is None
    with pytest.raises(NoAttempt):
        learn.last()
    token = ispring_token(SECRET, ALICE)
    client.get(learn.token_url, params={"jwt": token})
    last = client.get(f"{learn.url}/__lab__/last").json()
    assert (last["accepted"], last["rule"], last["claims"]["email"]) == (True, "", ALICE)
    client.get(learn.token_url, params={"jwt": token})
    assert client.get(f"{learn.url}/__lab__/last").json()["rule"] == "single-use"
    assert client.post(f"{learn.url}/__lab__/reset").status_code == 204
    assert client.get(f"{learn.url}/__lab__/last").json() is None
    assert "You are not signed in" in client.get(learn.url).text
    client.get(learn.token_url, params={"jwt": token})
    assert learn.last().accepted


def test_head_spends_no_token(learn: EmulatedService, client: httpx.Client) -> None:
    token = ispring_token(SECRET, ALICE)
    assert client.head(learn.token_url, params={"jwt": token}).status_code == 200
    assert learn.attempts == ()
    client.get(learn.token_url, params={"jwt": token})
    assert learn.last().accepted


def test_an_answer_is_not_kept_and_loads_nothing(learn: EmulatedService, client: httpx.Client) -> None:
    for answer in (sign_in(learn, client), client.get(learn.url)):
        assert answer.headers["Cache-Control"] == "no-store"
        assert answer.headers["Referrer-Policy"] == "no-referrer"
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]


def test_two_emulators_of_one_machine_do_not_share_sessions(learn: EmulatedService, client: httpx.Client) -> None:
    with EmulatedService("ispring", SECRET, login_url=LOGIN_URL) as other:
        sign_in(learn, client)
        assert "You are not signed in" in client.get(other.url).text
        sign_in(other, client)
        assert "You are signed in" in client.get(learn.url).text


def test_attack_a_name_that_resolves_to_this_machine_is_refused(learn: EmulatedService, client: httpx.Client) -> None:
    for path in ("/", "/__lab__/", "/__lab__/last", "/sso/login/jwt?jwt=a.b.c"):
        answer = client.get(learn.url + path, headers={"Host": "rebound.mallory.example"})
        assert answer.status_code == 403
    assert client.post(f"{learn.url}/__lab__/reset", headers={"Host": "mallory.example"}).status_code == 403
    assert learn.attempts == ()


def test_attack_a_page_of_another_site_makes_it_forget_what_was_spent(
    learn: EmulatedService, client: httpx.Client
) -> None:
    sign_in(learn, client)
    for site in ("cross-site", "same-site"):
        answer = client.post(f"{learn.url}/__lab__/reset", headers={"Sec-Fetch-Site": site})
        assert answer.status_code == 403
    assert learn.last().accepted


def test_attack_markup_in_a_claim_is_text_on_the_page(learn: EmulatedService, client: httpx.Client) -> None:
    now = int(time.time())
    bad = "<script>alert(1)</script>"
    page = client.get(
        learn.token_url, params={"jwt": mint({"iat": now, "exp": now + 60, "jti": "", "email": bad}, SECRET)}
    )
    assert learn.last().rule == "jti"
    assert bad not in page.text
    client.get(learn.token_url, params={"jwt": mint({"iat": now, "exp": now + 60, "jti": "a", "email": bad}, SECRET)})
    page = client.get(learn.url)
    assert bad not in page.text
    assert "&lt;script&gt;" in page.text


def test_attack_a_session_cookie_that_was_planted_is_not_the_one_that_signs_in(
    learn: EmulatedService, client: httpx.Client
) -> None:
    client.get(learn.start_url)
    before = dict(client.cookies)
    sign_in(learn, client)
    planted = httpx.get(learn.url, cookies=before, trust_env=False)
    assert "You are not signed in" in planted.text


def test_the_cookie_of_an_earlier_sign_in_is_worth_nothing_after_the_next(
    learn: EmulatedService, client: httpx.Client
) -> None:
    sign_in(learn, client)
    before = dict(client.cookies)
    assert "You are signed in" in httpx.get(learn.url, cookies=before, trust_env=False).text
    sign_in(learn, client)
    assert "You are not signed in" in httpx.get(learn.url, cookies=before, trust_env=False).text


def test_a_request_that_is_too_large_is_refused(learn: EmulatedService, client: httpx.Client) -> None:
    assert client.post(learn.token_url, data={"jwt": "a" * 100_000}).status_code == 413


def test_neither_the_key_nor_a_token_is_in_any_answer(learn: EmulatedService, client: httpx.Client) -> None:
    token = ispring_token(SECRET, ALICE)
    client.get(learn.token_url, params={"jwt": token})
    for path in ("/", "/__lab__/", "/__lab__/last"):
        text = client.get(learn.url + path).text
        assert SECRET not in text
        assert token.rpartition(".")[2] not in text


# --- What it remembers is bounded ---


def test_attack_more_spent_tokens_than_there_is_room_for_are_refused_and_none_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(memory, "MOST_SPENT", 3)
    remembered = Memory()
    assert [remembered.spend(name, 100.0, 0.0) for name in "abc"] == [True] * 3
    with pytest.raises(NoRoom):
        remembered.spend("d", 100.0, 0.0)
    assert not remembered.spend("a", 100.0, 0.0)
    assert remembered.spend("d", 300.0, 101.0)  # the others cannot be accepted any more


def test_browsers_attempts_and_begun_sign_ins_are_bounded() -> None:
    remembered = Memory()
    first = remembered.welcome(Visitor())
    last = [remembered.welcome(Visitor()) for _ in range(memory.MOST_VISITORS)][-1]
    assert remembered.visitor(first) is None
    assert remembered.visitor(last) is not None
    for _ in range(memory.MOST_ATTEMPTS + 1):
        remembered.record(Attempt(False, "format", {}))
    assert len(remembered.attempts) == memory.MOST_ATTEMPTS
    visitor = Visitor()
    for number in range(memory.MOST_BEGUN + 1):
        remembered.begin(visitor, memory.Begun(str(number), "", "/", 0.0))
    assert visitor.begun[0].state == "1"


# --- The command ---


def start(*arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "lab", "serve-sp", *arguments]
    return subprocess.Popen(command, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True)


def test_the_command_serves_until_it_is_interrupted_and_logs_each_attempt(tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "attempts.jsonl"
    process = start("ispring", "--port", str(port), "--key", SECRET, "--json-log", str(log))
    assert process.stderr is not None
    try:
        banner = [process.stderr.readline() for _ in range(2)]
        url = f"http://127.0.0.1:{port}/sso/login/jwt"
        assert url in "".join(banner)
        assert SECRET not in "".join(banner)
        token = ispring_token(SECRET, ALICE)
        for _ in range(2):
            httpx.get(url, params={"jwt": token}, trust_env=False)
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    assert process.returncode == 0
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [(line["service"], line["accepted"], line["rule"]) for line in lines] == [
        ("ispring", True, ""),
        ("ispring", False, "single-use"),
    ]
    assert lines[0]["at"].endswith("Z")
    assert token.rpartition(".")[2] not in log.read_text()
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_without_a_key_a_secret_is_made_and_printed() -> None:
    port = free_port()
    process = start("zendesk", "--port", str(port))
    assert process.stderr is not None
    try:
        lines = [process.stderr.readline() for _ in range(3)]
        secret = next(line.partition(": ")[2].strip() for line in lines if line.startswith("Shared secret"))
        now = int(time.time())
        token = mint({"iat": now, "jti": "1", "email": ALICE, "name": "Alice"}, secret)
        url = f"http://127.0.0.1:{port}/access/jwt"
        assert httpx.post(url, data={"jwt": token}, trust_env=False).status_code == 302
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["ispring", "--login-url", "javascript:alert(1)"], "not an http or https URL"),
        (["freshworks"], "--key is needed"),
        (["freshworks", "--key", "a secret"], "needs an RSA key"),
        (["ispring", "--json-log", "/nowhere/at/all"], "No such file"),
    ],
)
def test_wrong_usage_is_explained(arguments: list[str], says: str) -> None:
    assert_refused(*arguments, says=says)


def assert_refused(*arguments: str, says: str) -> None:
    """Start the command, which must not serve."""
    command = [sys.executable, "-m", "lab", "serve-sp", "--port", "0", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert says in done.stderr


def test_attack_a_log_that_others_may_read_is_refused(tmp_path: Path) -> None:
    log = tmp_path / "open.jsonl"
    log.touch(0o644)
    log.chmod(0o644)
    assert_refused("ispring", "--json-log", str(log), says="other users of this machine may read it")
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "elsewhere.jsonl")
    assert_refused("ispring", "--json-log", str(tmp_path / "link.jsonl"), says="--json-log")
    assert not (tmp_path / "elsewhere.jsonl").exists()
