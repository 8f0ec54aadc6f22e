"""The fixtures `sso_idp` and `sso_service`: peers that start once and forget between two tests."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from lab.clock import Clock
from lab.drafts import draft
from lab.identity_provider import IdentityProvider
from lab.service_provider import EmulatedService

Services = Callable[[str], EmulatedService]
ports: set[str] = set()


def deliver(service: EmulatedService, token: str) -> None:
    fields = {service.parameter: token}
    if service.delivery == "query":
        httpx.get(service.token_url, params=fields, trust_env=False)
    else:
        httpx.post(service.token_url, data=fields, trust_env=False)


@pytest.mark.parametrize("round_", [1, 2])
def test_the_identity_provider_begins_each_test_afresh_on_the_same_port(sso_idp: IdentityProvider, round_: int) -> None:
    assert not sso_idp.sent
    sso_idp.serve("http://127.0.0.1:9/jwt", parameter="token")
    sso_idp.next("carol@example.org", claims={"groups": ["admins"]})
    answer = httpx.get(sso_idp.login_url, trust_env=False)
    target = urlsplit(answer.headers["Location"])
    assert target._replace(query="").geturl() == "http://127.0.0.1:9/jwt"
    assert list(parse_qs(target.query)) == ["token"]
    assert [(sent.user, sent.claims["groups"]) for sent in sso_idp.sent] == [("carol@example.org", ["admins"])]
    sso_idp.next(fault="expired")  # which the next test must not meet
    ports.add(sso_idp.url)
    assert len(ports) == 1


@pytest.mark.parametrize("round_", [1, 2])
def test_a_service_begins_each_test_afresh(sso_service: Services, round_: int) -> None:
    service = sso_service("ispring")
    assert service is sso_service("ispring")
    assert service.attempts == ()
    assert httpx.get(service.start_url, trust_env=False).status_code != 303  # it knows no login URL any more
    service.connect(login_url="http://127.0.0.1:9/")
    assert httpx.get(service.start_url, trust_env=False).headers["Location"].startswith("http://127.0.0.1:9/")
    deliver(service, draft(service.key).token())
    assert service.last().accepted, service.last()


def test_two_services_are_two_programs(sso_service: Services) -> None:
    assert sso_service("ispring").url != sso_service("zendesk").url


def test_a_service_lives_by_the_clock_of_the_test(sso_service: Services, clock: Clock) -> None:
    service = sso_service("zendesk")
    token = draft(service.key, without=("exp", "nbf")).token()
    clock.tick(hours=2)
    deliver(service, token)
    assert not service.last().accepted
    deliver(service, draft(service.key, without=("exp", "nbf")).token())
    assert service.last().accepted, service.last()
