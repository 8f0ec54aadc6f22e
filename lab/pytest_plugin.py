"""Provide pytest fixtures to test an application behind single sign-on, or a program that sends or accepts tokens.

    def test_alice_sees_the_page(lychgate, page):
        lychgate.sign_in(page)
        assert "Alice Liddell" in page.content()

After `pip install lychgate[test]`, pytest finds the plugin. In a checkout, run `pytest -p lab.pytest_plugin`. Nothing
is imported until a test uses a fixture. Each xdist worker has separate programs, ports and state.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from lab.identity_provider import IdentityProvider
    from lab.in_process.lychgate import Lychgate
    from lab.service_provider import EmulatedService


@pytest.fixture(scope="session")
def lychgate_programs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lychgate]:
    """Both programs, started once. Tests use the fixture `lychgate`."""
    from lab.in_process.lychgate import running

    yield from running(tmp_path_factory.mktemp("lychgate"))


@pytest.fixture
def lychgate(lychgate_programs: Lychgate) -> Iterator[Lychgate]:
    """A running gateway and identity provider, in the same state at the start of each test."""
    lychgate_programs.reset()
    yield lychgate_programs
    lychgate_programs.clock.reset()  # which the whole process shares


@pytest.fixture(scope="session")
def sso_idp_program() -> Iterator[IdentityProvider]:
    """An identity provider without passwords, started once. Tests use the fixture `sso_idp`."""
    import secrets

    from lab.identity_provider import IdentityProvider

    with IdentityProvider(secrets.token_urlsafe(48), "http://127.0.0.1:9/") as idp:
        yield idp


@pytest.fixture
def sso_idp(sso_idp_program: IdentityProvider) -> IdentityProvider:
    """An identity provider without passwords, for tests of another service provider.

    `sso_idp.serve(url)` sets the URL to which it sends tokens. `key` is the secret that the service provider needs, and
    `login_url` is the URL to which the service provider sends people.
    """
    sso_idp_program.reset()
    return sso_idp_program


@pytest.fixture(scope="session")
def sso_service_programs() -> Iterator[Callable[[str], EmulatedService]]:
    """Return the function that starts an emulated service on its first use in the run. Tests use `sso_service`."""
    from lab.service_provider import EmulatedService

    started: dict[str, EmulatedService] = {}
    with ExitStack() as running:

        def service(name: str) -> EmulatedService:
            if name not in started:
                started[name] = running.enter_context(EmulatedService(name))
            return started[name]

        yield service


@pytest.fixture
def sso_service(sso_service_programs: Callable[[str], EmulatedService]) -> Callable[[str], EmulatedService]:
    """Return the function that gives an emulated service provider, for tests of an identity provider.

    After `service = sso_service("zendesk")`, `service.token_url` is the URL to which tokens go, and `service.key` is
    the key that signs them. `service.last()` tells whether the last token was accepted, or which documented rule it
    broke.
    """
    used: dict[str, EmulatedService] = {}

    def service(name: str) -> EmulatedService:
        if name not in used:
            used[name] = sso_service_programs(name)
            used[name].reset()
            used[name].disconnect()
        return used[name]

    return service
