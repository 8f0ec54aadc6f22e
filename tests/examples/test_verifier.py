"""The ten lines of docs/guides/proxies.md that check an assertion, taken from the document and run."""

import re
from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import pytest
from playwright.sync_api import Page

from lab.cast import ALICE
from lab.programs import ROOT
from tests.examples.conftest import Example
from tests.examples.test_examples import go_in

SITE = "https://app.example.org"

pytestmark = pytest.mark.browser


@pytest.fixture
def who(started: Callable[[str], Example], monkeypatch: pytest.MonkeyPatch) -> Callable[[str], dict[str, Any]]:
    """The document's function, for the site that the test runs."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    block = re.search(
        r"```python\n(import jwt.+?)```", (ROOT / "docs" / "guides" / "proxies.md").read_text(), re.DOTALL
    )
    assert block
    code = [line for line in block[1].splitlines() if line.strip()]
    assert len(code) <= 10
    assert SITE in block[1]
    names: dict[str, Any] = {}
    exec(block[1].replace(SITE, started("nginx").url), names)  # noqa: S102  # our own document
    found: Callable[[str], dict[str, Any]] = names["who"]
    return found


def test_the_documents_verifier_takes_a_real_assertion_and_no_other(
    page: Page, started: Callable[[str], Example], who: Callable[[str], dict[str, Any]]
) -> None:
    example = started("nginx")
    go_in(page, example)
    assertion = asserted(page, example, urlsplit(example.url).netloc)
    claims = who(assertion)
    assert (claims["email"], claims["groups"]) == (ALICE.email, ["staff"])

    header, payload, signature = assertion.split(".")
    other_signature = ("A" if signature[0] != "A" else "B") + signature[1:]
    for_another_host = asserted(page, example, "localhost")
    own_key = jwt.encode(claims, "x" * 32, "HS256", headers={"kid": jwt.get_unverified_header(assertion)["kid"]})
    for forged in (f"{header}.{payload}.{other_signature}", f"{header}.{payload}.", for_another_host, own_key, ""):
        with pytest.raises(jwt.PyJWTError):
            who(forged)


def asserted(page: Page, example: Example, host: str) -> str:
    """Return what the gateway asserts of the person in the browser, for the application at *host*."""
    session = next(cookie["value"] for cookie in page.context.cookies() if cookie["name"] == "sp_session")
    asked = {"X-Original-URL": f"http://{host}/", "X-Original-Method": "GET", "Cookie": f"sp_session={session}"}
    answer = httpx.get(f"{example.gateway}/sso/auth/nginx", headers=asked, trust_env=False)
    assert answer.status_code == 200
    return answer.headers["X-Lychgate-Assertion"]
