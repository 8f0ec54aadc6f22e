"""Emulated services against every fault that the lab can make, and times up to their last second."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack

import httpx
import pytest

from lab.drafts import Draft, draft
from lab.faults import FAULTS, Fault
from lab.service_provider import EmulatedService
from tests.lab.emulated import ALICE, KEYS

BEGUN_BY_THE_PERSON = ("ispring", "zendesk", "loginradius", "metabase")  # the others begin each sign-in themselves
SILENT = ("loginradius", "metabase")  # whose documents ask for no jti and no typ
NOW = 1_800_000_000  # seconds since 1970


@pytest.fixture(scope="module")
def services() -> Iterator[Mapping[str, EmulatedService]]:
    with ExitStack() as stack:
        made = {name: EmulatedService(name, KEYS[name], clock=lambda: NOW + 0.5) for name in BEGUN_BY_THE_PERSON}
        yield {name: stack.enter_context(service) for name, service in made.items()}


@pytest.fixture(scope="module")
def client() -> Iterator[httpx.Client]:
    with httpx.Client(trust_env=False) as browser:
        yield browser


def send(service: EmulatedService, client: httpx.Client, token: str) -> bool:
    """Deliver a token; return whether it was accepted."""
    service_url, fields = service.token_url, {service.parameter: token}
    before = len(service.attempts)
    form = service.delivery == "form"
    answer = client.post(service_url, data=fields) if form else client.get(service_url, params=fields)
    assert answer.status_code < 500, answer.text
    return len(service.attempts) > before and service.last().accepted


def good(name: str) -> Draft:
    return draft(KEYS[name], {"id": "4711", "iss": "an-issuer", "aud": "an-audience"}, email=ALICE, now=NOW)


def possible(name: str) -> list[Fault]:
    """Return the faults that a token of this service can have, and that its documents say something about."""
    unknown = ("iss", "aud", "nonce")
    return [f for f in FAULTS.values() if not f.obstacle(good(name)) and f.about not in unknown]


@pytest.mark.parametrize(
    ("name", "fault"), [(name, fault) for name in BEGUN_BY_THE_PERSON for fault in possible(name)], ids=str
)
def test_a_hole_is_refused_and_no_fault_breaks_the_service(
    name: str, fault: Fault, services: Mapping[str, EmulatedService], client: httpx.Client
) -> None:
    services[name].reset()
    sent = fault.tokens(good(name))
    accepted = [send(services[name], client, token) for token in sent]
    if len(sent) == 2:
        assert accepted[0]
    if fault.level == "hole":
        is_unsaid = name in SILENT and (len(sent) == 2 or fault.name == "sign-out-token")
        assert is_unsaid or not accepted[-1], fault.what


@pytest.mark.parametrize(
    ("name", "claim", "seconds", "accepted"),
    [
        ("ispring", "exp", 1, True),
        ("ispring", "exp", 0, False),
        ("ispring", "iat", 60, True),
        ("ispring", "iat", 61, False),
        ("zendesk", "iat", -179, True),
        ("zendesk", "iat", -180, False),
        ("zendesk", "iat", 180, True),
        ("zendesk", "iat", 181, False),
        ("loginradius", "exp", 1, True),
        ("loginradius", "exp", 0, False),
        ("loginradius", "nbf", 0, True),
        ("loginradius", "nbf", 1, False),
        ("metabase", "iat", -179, True),
        ("metabase", "iat", -180, False),
        ("metabase", "exp", 0, False),
        ("metabase", "nbf", 60, True),
        ("metabase", "nbf", 61, False),
    ],
)
def test_a_time_is_good_up_to_its_last_second(
    name: str,
    claim: str,
    seconds: int,
    accepted: bool,
    services: Mapping[str, EmulatedService],
    client: httpx.Client,
) -> None:
    """The service's clock is half a second further than NOW."""
    services[name].reset()
    token = draft(KEYS[name], {"id": "4711"}, email=ALICE, now=NOW).with_claims(**{claim: NOW + seconds})
    assert send(services[name], client, token) == accepted
    assert accepted or services[name].last().rule == claim
