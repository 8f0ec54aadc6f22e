"""Each rule of each emulated service: a good sign-in is accepted, one that breaks the rule is refused by its name."""

import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import httpx
import pytest

from lab.forging import key_for
from lab.service_provider import PRODUCTS, EmulatedService
from tests.lab.emulated import ALICE, IDP, KEYS, LOGIN_URL, LOGOUT_URL, OTHER_KEYS, SignIn

STRANGER = "stranger@example.org"

Break = Callable[[SignIn], httpx.Response]


@dataclass(frozen=True)
class Row:
    """How a rule is broken."""

    product: str
    rule: str
    how: str
    breaks: Break
    status: int = 0

    def __str__(self) -> str:
        return f"{self.product}-{self.rule}-{self.how}".replace(" ", "-")


def claim(**changed: Any) -> Break:
    return lambda sign_in: sign_in.send(sign_in.good().with_claims(**changed))


def without(name: str) -> Break:
    return lambda sign_in: sign_in.send(sign_in.good().without(name))


def at(name: str, seconds: int) -> Break:
    return lambda sign_in: sign_in.send(sign_in.good().with_claims(**{name: int(time.time()) + seconds}))


def header(**members: Any) -> Break:
    return lambda sign_in: sign_in.send(sign_in.good().with_header(**members))


def twice(sign_in: SignIn) -> httpx.Response:
    token = sign_in.good().token()
    assert sign_in.send(token).status_code == 302
    assert sign_in.service.last().accepted
    return sign_in.send(token)


def by_another_key(sign_in: SignIn) -> httpx.Response:
    return sign_in.send(sign_in.good(OTHER_KEYS[sign_in.name]).token())


def of_another_algorithm(sign_in: SignIn) -> httpx.Response:
    return sign_in.send(sign_in.good(key_for("HS384" if KEYS[sign_in.name].algorithm == "HS256" else "RS384")).token())


def common(product: str, wrong_method: str, *, delivery: int = 0) -> list[Row]:
    """Return the rows that every product with a JWT has."""
    return [
        *([Row(product, "delivery", "other", lambda s: s.send(method=wrong_method), delivery)] if wrong_method else []),
        *([] if product == "metabase" else [Row(product, "parameter", "missing", lambda s: s.send(""))]),
        Row(product, "parameter", "two", lambda s: s.send(None, "another")),
        Row(product, "format", "two parts", lambda s: s.send(s.good().token().rpartition(".")[0])),
        Row(product, "format", "not base64url", lambda s: s.send(s.good().token() + "=")),
        Row(product, "format", "a list", lambda s: s.send(s.good().with_payload(lambda text: f"[{text}]"))),
        Row(product, "format", "a claim twice", lambda s: s.send(s.good().with_payload(doubled))),
        Row(product, "format", "NaN", lambda s: s.send(s.good().with_payload(lambda text: f'{text[:-1]},"n":NaN}}'))),
        Row(product, "algorithm", "another", of_another_algorithm),
        Row(product, "algorithm", "none", lambda s: s.send(s.good().with_header(b"\0", alg="none"))),
        Row(product, "algorithm", "missing", lambda s: s.send(s.good().token(header={"typ": "JWT"}))),
        Row(product, "signature", "another key", by_another_key),
        Row(product, "signature", "changed", lambda s: s.send(s.good().with_signature(lambda _good: b"\0" * 32))),
        *(
            [Row(product, "type", "missing", lambda s: s.send(s.good().token(header=untyped(s))))]
            if typed(product)
            else []
        ),
        *([Row(product, "type", "of a sign-out", header(typ="logout+jwt"))] if typed(product) else []),
    ]


def typed(product: str) -> bool:
    return product in ("ispring", "zendesk", "freshworks")


def untyped(sign_in: SignIn) -> dict[str, str]:
    return {"alg": KEYS[sign_in.name].algorithm}


def doubled(text: str) -> str:
    return f'{{"email":"mallory@example.org",{text[1:]}'


TEXTS = [("missing", None), ("empty", ""), ("a list", ["a"])]


def text_rows(product: str, rule: str) -> list[Row]:
    return [Row(product, rule, how, without(rule) if value is None else claim(**{rule: value})) for how, value in TEXTS]


def time_rows(product: str, rule: str, *, required: bool = True) -> list[Row]:
    values = [("text", "2026-11-26"), ("yes", True), ("null", None), ("endless", 10**400)]
    rows = [Row(product, rule, how, claim(**{rule: value})) for how, value in values]
    return rows + ([Row(product, rule, "missing", without(rule))] if required else [])


ROWS = [
    *common("ispring", "POST"),
    *time_rows("ispring", "nbf", required=False),
    Row("ispring", "nbf", "ahead", at("nbf", 90)),
    *time_rows("ispring", "iat"),
    Row("ispring", "iat", "milliseconds", claim(iat=int(time.time()) * 1000)),
    Row("ispring", "iat", "ahead", at("iat", 90)),
    *text_rows("ispring", "jti"),
    Row("ispring", "jti", "a number", claim(jti=4711)),
    *time_rows("ispring", "exp"),
    Row("ispring", "exp", "passed", at("exp", -1)),
    *text_rows("ispring", "email"),
    Row("ispring", "single-use", "twice", twice),
    *common("zendesk", "GET"),
    *time_rows("zendesk", "nbf", required=False),
    Row("zendesk", "nbf", "ahead", at("nbf", 90)),
    *time_rows("zendesk", "iat"),
    Row("zendesk", "iat", "four minutes ago", at("iat", -240)),
    Row("zendesk", "iat", "four minutes ahead", at("iat", 240)),
    Row("zendesk", "jti", "missing", without("jti")),
    Row("zendesk", "jti", "empty", claim(jti="")),
    Row("zendesk", "jti", "a list", claim(jti=[1])),
    *text_rows("zendesk", "email"),
    *text_rows("zendesk", "name"),
    *time_rows("zendesk", "exp", required=False),
    Row("zendesk", "exp", "passed", at("exp", -1)),
    Row("zendesk", "single-use", "twice", twice),
    *common("loginradius", ""),
    *text_rows("loginradius", "sub"),
    *time_rows("loginradius", "exp"),
    Row("loginradius", "exp", "passed", at("exp", -1)),
    *time_rows("loginradius", "nbf", required=False),
    Row("loginradius", "nbf", "ahead", at("nbf", 30)),
    *text_rows("loginradius", "id"),
    Row("loginradius", "account", "a stranger", claim(email=STRANGER)),
    Row("loginradius", "account", "no e-mail", without("email")),
    *common("freshworks", "POST"),
    *time_rows("freshworks", "nbf", required=False),
    Row("freshworks", "nbf", "ahead", at("nbf", 90)),
    *text_rows("freshworks", "sub"),
    *text_rows("freshworks", "email"),
    *time_rows("freshworks", "iat"),
    Row("freshworks", "iat", "ahead", at("iat", 90)),
    *time_rows("freshworks", "exp", required=False),
    Row("freshworks", "exp", "passed", at("exp", -1)),
    Row("freshworks", "state", "missing", lambda s: s.send(state="")),
    Row("freshworks", "state", "another", lambda s: s.send(state="of-another-browser")),
    Row("freshworks", "state", "twice", twice),
    Row("freshworks", "nonce", "missing", without("nonce")),
    Row("freshworks", "nonce", "another", claim(nonce="of-another-sign-in")),
    *common("metabase", "POST", delivery=400),
    *time_rows("metabase", "nbf", required=False),
    Row("metabase", "nbf", "ahead", at("nbf", 90)),
    *time_rows("metabase", "exp", required=False),
    Row("metabase", "exp", "passed", at("exp", -1)),
    *time_rows("metabase", "iat", required=False),
    Row("metabase", "iat", "four minutes ago", at("iat", -240)),
    *text_rows("metabase", "email"),
    Row("metabase", "return-to", "elsewhere", lambda s: s.send(return_to="https://mallory.example/"), 400),
    Row("metabase", "return-to", "elsewhere by slashes", lambda s: s.send(return_to="//mallory.example/"), 400),
    Row("metabase", "return-to", "elsewhere by a backslash", lambda s: s.send(return_to="/\\mallory.example/"), 400),
    Row("discourse", "delivery", "POST", lambda s: s.deliver(s.members(), method="POST"), 404),
    Row("discourse", "parameter", "missing", lambda s: s.send("", sig="0"), 400),
    Row("discourse", "parameter", "two", lambda s: s.send("YQ==", "Yg==", sig="0"), 400),
    Row("discourse", "sig", "missing", lambda s: s.send("YQ=="), 400),
    Row("discourse", "format", "not base64", lambda s: s.send("a%2Bb", sig="0"), 422),
    Row("discourse", "format", "not text", lambda s: s.send(b64encode(b"\xff").decode(), sig="0"), 422),
    Row("discourse", "signature", "another key", lambda s: s.deliver(s.members(), OTHER_KEYS["discourse"]), 422),
    Row("discourse", "nonce", "missing", lambda s: s.deliver(s.members(nonce="")), 419),
    Row("discourse", "nonce", "another", lambda s: s.deliver(s.members(nonce="of-another-browser")), 419),
    Row("discourse", "external_id", "missing", lambda s: s.deliver(s.members(external_id="")), 500),
    Row("discourse", "external_id-banned", "nil", lambda s: s.deliver(s.members(external_id="Nil")), 500),
    Row("discourse", "email", "missing", lambda s: s.deliver(s.members(email="")), 500),
]
NOT_BROKEN_BY_ONE = {  # rules that no single request breaks: what reaches them
    ("loginradius", "delivery"): "GET and POST are both good, and other methods get 405",
    ("freshworks", "single-use"): "a race of two requests with one state; test_service_provider.py",
}
DOCUMENTED = {  # how a product answers a refusal: status and Location
    "ispring": (401, ""),
    "zendesk": (302, f"{LOGOUT_URL}?kind=error&message="),
    "loginradius": (302, "/access/jwt/error"),
    "freshworks": (401, ""),
    "metabase": (401, ""),
    "discourse": (0, ""),
}


@pytest.fixture(scope="module")
def services() -> Iterator[Mapping[str, EmulatedService]]:
    """All of them, as an administrator set them up."""
    with ExitStack() as stack:
        settings = {"login_url": LOGIN_URL, "logout_url": LOGOUT_URL, "people": [ALICE]}
        made = {name: EmulatedService(name, KEYS[name], **settings) for name in PRODUCTS}  # type: ignore[arg-type]
        yield {name: stack.enter_context(service) for name, service in made.items()}


@pytest.fixture(scope="module")
def one_client() -> Iterator[httpx.Client]:
    """Making one takes a while: it reads every certificate of the machine."""
    with httpx.Client(trust_env=False) as browser:
        yield browser


@pytest.fixture
def client(one_client: httpx.Client) -> httpx.Client:
    """A browser without cookies."""
    one_client.cookies.clear()
    return one_client


def begin(services: Mapping[str, EmulatedService], name: str, client: httpx.Client) -> SignIn:
    services[name].reset()
    return SignIn(services[name], client)


def test_every_rule_of_every_product_has_a_row() -> None:
    rules = {(product.name, rule.name) for product in PRODUCTS.values() for rule in product.rules}
    assert rules == {(row.product, row.rule) for row in ROWS} | set(NOT_BROKEN_BY_ONE)


@pytest.mark.parametrize("name", PRODUCTS)
def test_a_good_sign_in_is_accepted_and_the_page_says_who_is_signed_in(
    name: str, services: Mapping[str, EmulatedService], client: httpx.Client
) -> None:
    answer = begin(services, name, client).send()
    assert answer.status_code == 302, answer.text
    assert answer.headers["location"].partition("?")[0] == "/"
    last = services[name].last()
    assert (last.accepted, last.rule, last.found, last.claims["email"]) == (True, "", "", ALICE)
    page = client.get(services[name].url).text
    assert "You are signed in" in page
    assert ALICE in page


@pytest.mark.parametrize("row", ROWS, ids=str)
def test_a_sign_in_that_breaks_a_rule_is_refused_as_documented_by_its_name_and_opens_nothing(
    row: Row, services: Mapping[str, EmulatedService], client: httpx.Client
) -> None:
    sign_in, service = begin(services, row.product, client), services[row.product]
    answer = row.breaks(sign_in)
    last = service.last()
    assert (last.accepted, last.rule) == (False, row.rule), last.found
    assert last.found
    status, location = DOCUMENTED[row.product]
    assert answer.status_code == (row.status or status)
    assert answer.headers.get("location", "").startswith(location)
    if not location.startswith(IDP):  # Zendesk's leads away; the others lead to a page that explains
        page = client.get(service.url + location).text if location else answer.text
        assert f"{service.product.title} refused this sign-in" in page
        assert f"<strong>{row.rule}</strong>" in page
    assert_opened_nothing(row, sign_in)


def assert_opened_nothing(row: Row, sign_in: SignIn) -> None:
    """The browser is signed out, and the sign-in that it began can still be ended well."""
    if row.how == "twice":  # the first was good
        return
    assert "You are not signed in" in sign_in.client.get(sign_in.service.url).text
    if not (row.product == "discourse" and row.status == 500):  # Discourse ends the nonce before it looks at the person
        assert sign_in.send().status_code == 302
        assert sign_in.service.last().accepted
