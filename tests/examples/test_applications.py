"""The examples for authors of applications, each with its own server: who is signed in, groups, forged headers."""

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from lab.cast import ALICE, MALLORY, Person
from lab.pair import table
from lab.ports import free_port
from lab.programs import ROOT
from tests.examples import servers
from tests.sp.gateway.gate import Gate, make_gate

PAGE = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
FORGED = dict.fromkeys(("Remote-User", "Remote_User", "X-Forwarded-User", "Lychgate-User", "Sso-User"), MALLORY.email)
RULES = [{"path": "/public/", "allow": "anyone"}]
SECRET_KEY = "k" * 48
STARTED_BY = re.compile(r"^    SP_CONFIG=gateway\.toml (uvicorn|gunicorn) (.+)$", re.MULTILINE)


@dataclass(frozen=True)
class Application:
    """An example that runs."""

    url: str
    gate: Gate

    def ask(self, path: str, person: Person | None = None, **headers: str) -> httpx.Response:
        """Ask for *path*, with a new session of *person*, and forged headers besides."""
        cookie = {"Cookie": f"sp_session={self.gate.sign_in(person)}"} if person else {}
        return httpx.get(self.url + path, headers=PAGE | FORGED | cookie | headers, trust_env=False, timeout=30)


@pytest.fixture(scope="module", params=["fastapi_app", "starlette_app", "flask_login_app", "django_accounts"])
def application(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Application]:
    """Each example in turn, started as its docstring says."""
    folder, port = tmp_path_factory.mktemp(request.param), free_port()
    said = STARTED_BY.search((ROOT / "examples" / request.param / "app.py").read_text())
    assert said, "the example does not say how it is started"
    bind = {"uvicorn": ["--port", str(port)], "gunicorn": ["--bind", f"127.0.0.1:{port}", "--threads", "4"]}[said[1]]
    (folder / "gateway.toml").write_text("".join(table("[rules]", rule) for rule in RULES))
    env = {
        "SP_INSTANCE": str(folder),
        "SP_SECRET_KEY": SECRET_KEY,
        "SP_CONFIG": "gateway.toml",
        "SP_EXTERNAL_URL": f"http://127.0.0.1:{port}",
    }
    gate = make_gate(folder, RULES, SP_SECRET_KEY=SECRET_KEY)
    with servers.running([sys.executable, "-m", said[1], *bind, *said[2].split()], port, folder, env):
        yield Application(f"http://127.0.0.1:{port}", gate)


def test_the_application_knows_the_person_and_links_account_and_sign_out(application: Application) -> None:
    page = application.ask("/reports", ALICE)
    assert page.status_code == 200
    assert f"You are <b>{ALICE.email}</b>" in page.text
    assert '<a href="/account">' in page.text
    assert '<a href="/logout">' in page.text
    assert application.ask("/account", ALICE).status_code == 200


def test_attack_forged_headers_make_nobody_somebody(application: Application) -> None:
    public = application.ask("/public/page")
    assert (public.status_code, "You are not signed in." in public.text) == (200, True)
    assert MALLORY.email not in public.text
    assert application.ask("/reports").status_code == 302
    assert MALLORY.email not in application.ask("/reports", ALICE).text


def test_a_view_for_a_group_is_for_its_members(application: Application) -> None:
    member = application.ask("/staff", ALICE)
    assert member.status_code == 200
    assert member.json()["email"] == ALICE.email
    assert application.ask("/staff", Person("guest@example.com", "", "G", "Uest", ("guests",))).status_code == 403


def test_a_change_of_groups_counts_from_the_next_session_on(application: Application) -> None:
    person = Person("erin@example.com", "", "Erin", "Brown", ("staff",))
    assert application.ask("/staff", person).status_code == 200
    moved = Person("erin@example.com", "", "Erin", "Brown", ("guests",))
    assert application.ask("/staff", moved).status_code == 403


def test_the_docstring_names_the_file_itself() -> None:
    for name in ("fastapi_app", "starlette_app", "flask_login_app", "django_accounts"):
        text = (Path(ROOT) / "examples" / name / "app.py").read_text()
        assert STARTED_BY.search(text)
        assert f"examples.{name}.app:application" in text
