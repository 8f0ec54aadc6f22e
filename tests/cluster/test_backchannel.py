"""One sign-out, two gateways, one of them down: the other hears of it at once, and the one that was down later."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import httpx
import pytest
from playwright.sync_api import Page, expect

from lab.cast import ALICE
from lab.journeys import expect_in, sign_in
from lab.pair import PROVIDER, SERVICE, Pair, program_environment, table
from lab.ports import free_port
from lab.programs import RunningProgram
from tests.conftest import StartPair

pytestmark = [pytest.mark.browser, pytest.mark.cluster]

AT_ONCE = 2  # seconds: how soon a gateway that is up must have ended the session
GIVE_UP = 60  # seconds: the gateway that was down is told again after 5 seconds, and after 30 more
KEY = "the secret of the second gateway, long enough for HS256"


def test_a_sign_out_reaches_the_gateway_that_is_up_at_once_and_the_other_when_it_comes_back(
    page: Page, start_pair: StartPair, tmp_path: Path
) -> None:
    ports = free_port(), free_port()
    provider = {"login_url": f"http://127.0.0.1:{ports[1]}/login-token/?service={SERVICE}"}
    with start_pair(people=[ALICE], provider=provider, ports=ports) as pair, second_gateway(pair, tmp_path) as tower:
        the_gate, the_tower = pair, replace(pair, sp=tower)
        sign_in(page, the_gate, ALICE)
        page.goto(f"{tower.url}/inside")
        expect_in(page, the_tower, ALICE, "/inside")
        at_the_gate, at_the_tower = Session.of(page, pair.sp), Session.of(page, tower)
        assert at_the_gate.is_open()
        assert at_the_tower.is_open()

        tower.stop()
        page.goto(f"{pair.idp.url}/logout")
        began = time.monotonic()
        page.get_by_role("button", name="Sign out").click()
        assert end_of(at_the_gate) - began < AT_ONCE
        told = page.get_by_role("listitem")
        expect(told.filter(has_text="The gate")).to_have_text("The gate: notified. It ended 1 session.")
        expect(told.filter(has_text="The tower")).to_contain_text(
            "The tower: could not be notified, because it could not be reached. We will try again."
        )

        tower.start()
        end_of(at_the_tower)
        audit = pair.idp_command("audit", "--json").stdout
        assert audit.count('"service_told"') == 2
        assert audit.count('"service_not_told"') >= 1


@contextmanager
def second_gateway(pair: Pair, folder: Path) -> Iterator[RunningProgram]:
    """Run another gateway, and let it and the identity provider of *pair* know each other."""
    port = free_port()
    url = f"http://localhost:{port}"  # another host than the first one's: cookies do not respect ports
    provider = {
        "preset": "strict",
        "unsolicited": "restart",
        "default": True,
        "keys": [KEY],
        "login_url": f"{pair.idp.url}/login-token/?service=tower",
        "issuer": {"expected": pair.idp.url, "match": True, "required": True},
        "audience": {"expected": url, "match": True, "required": True},
    }
    service = {
        "preset": "lychgate",
        "display_name": "The tower",
        "return_url": f"{url}/sso/login/jwt",
        "keys": [KEY],
        "backchannel_logout_url": f"http://127.0.0.1:{port}/sso/logout/backchannel",
    }
    services = folder / "tower.toml"
    services.write_text(table("services.tower", service))
    pair.idp_command("services", "apply", str(services))
    env = program_environment("SP", folder / "tower", url, table(f"providers.{PROVIDER}", provider))
    with RunningProgram("run_sp.py", port, folder / "tower", env, public_url=url) as program:
        yield program


@dataclass(frozen=True)
class Session:
    """A browser's session at a gateway, tried without the browser."""

    gateway: RunningProgram
    cookie: str

    @classmethod
    def of(cls, page: Page, gateway: RunningProgram) -> Self:
        """Return the session that the browser of *page* has at *gateway*."""
        kept = {str(cookie.get("name")): str(cookie.get("value")) for cookie in page.context.cookies(gateway.url)}
        return cls(gateway, f"sp_session={kept['sp_session']}")

    def is_open(self) -> bool:
        """Tell whether it still lets anyone in."""
        answer = httpx.get(f"{self.gateway.own_url}/inside", headers={"Cookie": self.cookie}, trust_env=False)
        return answer.status_code == 200


def end_of(session: Session) -> float:
    """Wait until the session is over; return when that was."""
    deadline = time.monotonic() + GIVE_UP
    while session.is_open():
        assert time.monotonic() < deadline, "the session never ended"
        time.sleep(0.05)
    return time.monotonic()
