"""A changed file of SP_CONFIG is in force without a restart, as a whole or not at all."""

import logging
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from lab.cast import ALICE, CAROL
from shared.settings import SettingsRefused
from sp import config, create_wsgi, reloading
from sp.activity.audit import recent
from sp.gateway import AsgiGateway, Gateway
from sp.sample_app import create_welcome_app
from sp.sites.stored import stored_sites
from tests.sp.gateway.gate import PAGE, WAYS, Gate, make_gate
from tests.support.gateway import URL, core_of

SETTLED = reloading.SETTLED
PROVIDER = """
[providers.corporate]
default = true
keys = ["0123456789012345678901234567890123456789"]
login_url = "https://login.example.org/"
"""
OPEN = '[[rules]]\npath = "/notes/"\nallow = "anyone"\n'
CLOSED = '[[rules]]\npath = "/notes/"\nallow = { groups = ["admins"] }\n'
WIKI = '[sites.wiki]\nurl = "http://wiki.example.org"\n[[sites.wiki.rules]]\npath = "/"\nallow = { groups = ["x"] }\n'
HOLDS = '[[tests]]\nrequest = "GET /notes/"\nnobody = true\nexpect = "sign-in"\n'


@pytest.fixture(autouse=True)
def settled_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reloading, "SETTLED", 0.001)


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    """A gateway that looks at its file, in which /notes/ is open, when a test says so: see `look_when_told`."""
    return make_gate(tmp_path, more=OPEN + PROVIDER)


@pytest.fixture
def save(tmp_path: Path) -> Callable[[str], None]:
    """Return the function that writes the file, in place, as many editors do."""

    def saved(content: str) -> None:
        (tmp_path / "rules.toml").write_text(content)

    return saved


def notes(gate: Gate) -> int:
    """Return the answer after a look at the file."""
    gate.core.reloader.look()
    return gate.ask("/notes/x", headers=PAGE).status


def metric(gate: Gate) -> str:
    text = gate.ask("/metrics").text
    return next(line for line in text.splitlines() if line.startswith("lychgate_config_rejected"))


def test_requests_are_decided_by_the_changed_file(gate: Gate, save: Callable[[str], None]) -> None:
    assert notes(gate) == 200
    save(CLOSED + PROVIDER)
    assert notes(gate) == 302
    assert gate.ask("/notes/x", headers=PAGE, secret=gate.sign_in(ALICE)).status == 403
    assert gate.ask("/notes/x", headers=PAGE, secret=gate.sign_in(CAROL)).status == 200
    save(OPEN + PROVIDER)
    assert notes(gate) == 200


def test_sites_and_providers_are_taken_over_as_well(gate: Gate, save: Callable[[str], None]) -> None:
    assert gate.ask("/x", headers={**PAGE, "Host": "wiki.example.org"}).status == 400
    save(OPEN + PROVIDER.replace("corporate", "other") + WIKI)
    gate.core.reloader.look()
    assert gate.ask("/x", headers={**PAGE, "Host": "wiki.example.org"}).status == 302
    assert [trusted.provider.name for trusted in gate.core.provider_registry.enabled()] == ["other"]
    assert gate.core.provider_registry.get(None).provider.name == "other"
    save(OPEN + PROVIDER)
    gate.core.reloader.look()
    assert gate.ask("/x", headers={**PAGE, "Host": "wiki.example.org"}).status == 400


@pytest.mark.parametrize("keys", ["[]", '["0123456789012345678901234567890123456789"]'])
def test_a_provider_that_a_half_written_file_leaves_out_is_disabled_and_keeps_its_keys(
    tmp_path: Path, save: Callable[[str], None], caplog: pytest.LogCaptureFixture, keys: str
) -> None:
    """With `keys = []` the key was generated. If it were removed, the complete file would generate another one."""
    partner = f"[providers.partner]\nkeys = {keys}\n"
    made = make_gate(tmp_path, more=OPEN + PROVIDER + partner)

    def stored() -> dict[str, tuple[bool, bool, list[str]]]:
        return {
            item.provider.name: (item.provider.enabled, item.provider.default, [key.fingerprint for key in item.keys])
            for item in made.core.provider_store.load()
        }

    complete = stored()
    save(CLOSED + partner)
    assert notes(made) == 302
    _enabled, _default, fingerprints = complete["corporate"]
    assert stored() == {**complete, "corporate": (False, False, fingerprints)}
    assert "no longer names the provider corporate" in caplog.text
    save(CLOSED)
    assert notes(made) == 302
    save(CLOSED + PROVIDER + partner)
    assert notes(made) == 302
    assert stored() == complete
    assert [change.action for change in recent(made.core.database, subject="partner")][:2] == [
        "provider changed",
        "provider disabled",
    ]


def test_a_provider_that_the_file_no_longer_names_is_removed_at_the_next_start(
    tmp_path: Path, save: Callable[[str], None]
) -> None:
    gate = make_gate(tmp_path, more=OPEN + PROVIDER)
    save(CLOSED)
    assert notes(gate) == 302
    assert len(gate.core.provider_store.load()) == 1
    assert make_gate(tmp_path, more=CLOSED).core.provider_store.load() == []


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (CLOSED + "[[rules]]\npath = \n", "is not valid TOML"),
        (CLOSED + '[[rules]]\npath = "/*"\nallow = "anyone"\n', "rules[2]: path"),
        (CLOSED + WIKI.replace("wiki.example.org", "wiki.example.org/path"), "sites.wiki.url"),
        (CLOSED + "[providers.corporate]\nmax_age = -1\n", "providers.corporate.max_age"),
        (CLOSED + '[providers.corporate]\nkeys = ["env:NOT_SET_ANYWHERE"]\n', "NOT_SET_ANYWHERE is not set"),
        (CLOSED + PROVIDER + PROVIDER.replace("corporate", "second"), "only one provider can be the default"),
        (CLOSED + PROVIDER + HOLDS.replace("sign-in", "allow"), "tests[1]: GET /notes/"),
        (CLOSED + "surprise = 1\n", "surprise"),
        ("deep = " + "[" * 20_000 + "]" * 20_000, "could not be read: RecursionError"),
        ("", "is empty"),
    ],
)
def test_a_faulty_file_changes_nothing_and_is_seen_everywhere(
    gate: Gate, save: Callable[[str], None], caplog: pytest.LogCaptureFixture, content: str, said: str
) -> None:
    gate.person(CAROL, is_admin=True)
    carol = gate.sign_in(CAROL, provider=None)
    assert metric(gate) == "lychgate_config_rejected 0.0"
    before = gate.core.rulebook.current
    save(content)
    assert notes(gate) == 200
    assert gate.core.rulebook.current is before
    assert [trusted.provider.name for trusted in gate.core.provider_registry.all()] == ["corporate"]
    assert metric(gate) == "lychgate_config_rejected 1.0"
    assert said in "".join(record.getMessage() for record in caplog.records if record.levelno == logging.ERROR)
    for path in ("/settings", "/settings/users", "/settings/sso/jwt"):
        page = gate.ask(path, headers=PAGE, secret=carol).text
        assert "The previous settings stay in force" in page
    save(CLOSED + PROVIDER)
    assert notes(gate) == 302
    assert metric(gate) == "lychgate_config_rejected 0.0"
    assert "file-rejected" not in gate.ask("/settings/users", headers=PAGE, secret=carol).text


def test_every_error_is_in_one_line_of_the_log(
    gate: Gate, save: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    save('[[rules]]\npath = "/*"\nallow = "anyone"\n[[tests]]\nrequest = 1\nexpect = "allow"\nnobody = true\n[x]\n')
    assert notes(gate) == 200
    assert notes(gate) == 200
    (record,) = [record for record in caplog.records if record.levelno == logging.ERROR]
    assert all(part in record.getMessage() for part in ("rules[1]", "tests[1]", "x is unknown"))


def test_a_file_that_is_as_before_again_is_good_again(gate: Gate, save: Callable[[str], None]) -> None:
    save("[[rules]")
    assert (notes(gate), metric(gate)) == (200, "lychgate_config_rejected 1.0")
    save(OPEN + PROVIDER)
    assert (notes(gate), metric(gate)) == (200, "lychgate_config_rejected 0.0")


def test_a_file_that_is_gone_changes_nothing(gate: Gate, tmp_path: Path) -> None:
    (tmp_path / "rules.toml").unlink()
    assert (notes(gate), metric(gate)) == (200, "lychgate_config_rejected 1.0")


@pytest.mark.parametrize("age", [0, 3600, -3600])
def test_a_half_written_file_that_is_valid_is_not_taken_whatever_its_time_says(
    gate: Gate, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, age: int
) -> None:
    """The first half of a file may be a good file, with fewer rules. A file server may have another clock."""
    file, rest = tmp_path / "rules.toml", [WIKI, PROVIDER]
    in_force = gate.core.rulebook

    def write(mode: str, part: str) -> None:
        with file.open(mode) as writing:
            writing.write(part)
        os.utime(file, (time.time() - age, time.time() - age))

    def write_on() -> None:
        """Take the time in which the gateway waits for the file to settle."""
        if threading.current_thread() is not threading.main_thread():
            return  # a gateway of another test
        assert [site.name for site in in_force.current.sites] == ["home"]
        if rest:
            write("a", rest.pop(0))

    monkeypatch.setattr(reloading, "settle", write_on)
    write("w", CLOSED)
    assert notes(gate) == 302
    assert not rest
    assert [site.name for site in in_force.current.sites] == ["home", "wiki"]


def test_an_application_of_a_site_needs_a_restart_and_the_rest_is_in_force(
    gate: Gate, save: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    gate.person(CAROL, is_admin=True)
    carol = gate.sign_in(CAROL, provider=None)
    save(CLOSED + PROVIDER + WIKI.replace("\n", '\napp = "wiki:app"\n', 1))
    assert notes(gate) == 302
    said = "sites.wiki.app: restart the gateway to load wiki:app"
    assert gate.core.reloader.state.restart == (said,)
    assert said in caplog.text
    assert said in gate.ask("/settings", headers=PAGE, secret=carol).text
    assert metric(gate) == "lychgate_config_rejected 0.0"
    admin = gate.sign_in(CAROL, site="wiki")
    gate.person(CAROL, groups=["x"])
    assert gate.ask("/x", headers={**PAGE, "Host": "wiki.example.org"}, secret=admin).status == 404


def test_what_is_in_force_is_stored_without_secrets_and_only_if_it_changed(
    gate: Gate, save: Callable[[str], None]
) -> None:
    def stored() -> list[tuple[str, list[str]]]:
        sites = stored_sites(gate.core.database) or ()
        return [(site.name, [rule.allow for rule in site.rules]) for site in sites]

    assert stored() == [("home", ["anyone"])]
    with gate.core.database.engine.connect() as connection:
        assert "0123456789" not in str(connection.exec_driver_sql("SELECT * FROM rules_in_force").all())
    save(CLOSED + PROVIDER + WIKI)
    notes(gate)
    assert stored() == [("home", ["members"]), ("wiki", ["members"])]
    save("[[rules]")
    notes(gate)
    assert stored() == [("home", ["members"]), ("wiki", ["members"])]
    at = "SELECT changed_at FROM rules_in_force"
    with gate.core.database.engine.connect() as connection:
        before = connection.exec_driver_sql(at).scalar()
        save(CLOSED + PROVIDER + WIKI + "\n[providers.more]\nkeys = ['0123456789012345678901234567890123456789']\n")
        notes(gate)
        assert connection.exec_driver_sql(at).scalar() == before


def test_a_signal_reads_what_the_file_refers_to_again(tmp_path: Path) -> None:
    secret = tmp_path / "groups"
    secret.write_text("admins")
    gate = make_gate(tmp_path, more=CLOSED.replace('"admins"', '"file:groups"') + PROVIDER)
    assert gate.ask("/notes/x", headers=PAGE, secret=gate.sign_in(CAROL)).status == 200
    secret.write_text("others")
    gate.gateway.reload()
    wait_for(lambda: gate.ask("/notes/x", headers=PAGE, secret=gate.sign_in(CAROL)).status == 403)


def test_the_file_is_noticed_without_any_request(tmp_path: Path, save: Callable[[str], None]) -> None:
    gate = make_gate(tmp_path, more=OPEN + PROVIDER, SP_SESSION_CACHE="1")
    before = gate.core.rulebook.current
    save(CLOSED + PROVIDER)
    wait_for(lambda: gate.core.rulebook.current is not before, seconds=5)


def test_a_request_notices_the_file_where_no_thread_does(tmp_path: Path, save: Callable[[str], None]) -> None:
    """Some servers run no threads of an application, or fork after it was made."""
    gate = make_gate(tmp_path, more=OPEN + PROVIDER, SP_SESSION_CACHE="3600")
    save(CLOSED + PROVIDER)
    before = gate.core.rulebook.current
    gate.ask("/notes/x", headers=PAGE)
    gate.core.reloader.due = 0.0
    gate.ask("/notes/x", headers=PAGE)
    assert gate.core.reloader.due > time.monotonic()
    wait_for(lambda: gate.core.rulebook.current is not before)
    assert gate.ask("/notes/x", headers=PAGE).status == 302


@pytest.mark.parametrize("way", WAYS)
def test_no_request_waits_for_the_file_or_the_database(
    tmp_path: Path, save: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """With ASGI a request that looked at the file itself would stop the event loop, and all requests with it."""
    gate = make_gate(tmp_path, more=OPEN + PROVIDER, way=way)
    gate.person(CAROL, is_admin=True)
    carol, looked, requests = gate.sign_in(CAROL, provider=None), [], threading.Event()
    read_access = config.read_access

    def read_slowly(*asked: Any) -> Any:
        if asked[0] is gate.core.config:  # gateways of other tests look as well
            looked.append(threading.current_thread().name)
            requests.wait(10)
        return read_access(*asked)

    monkeypatch.setattr(reloading, "read_access", read_slowly)
    save(CLOSED + PROVIDER)
    for path in ("/notes/x", "/metrics", "/settings"):
        gate.core.reloader.due = 0.0
        assert gate.ask(path, headers=PAGE, secret=carol).status == 200
    requests.set()
    wait_for(lambda: gate.ask("/notes/x", headers=PAGE).status == 302)
    assert set(looked) == {"lychgate-reload"}


@pytest.mark.parametrize(("cache", "seconds"), [("0", 1), ("1", 1), ("2", 2), ("5", 5)])
def test_a_change_is_noticed_and_settled_in_time(tmp_path: Path, cache: str, seconds: float) -> None:
    reloader = make_gate(tmp_path, SP_SESSION_CACHE=cache).core.reloader
    assert reloader.interval / 2 + SETTLED <= seconds - 0.2, "the thread looks twice in each interval"
    assert cache < "2" or reloader.interval + SETTLED <= seconds - 0.4, "a request starts the look"


def test_a_child_of_a_fork_looks_on(tmp_path: Path, save: Callable[[str], None]) -> None:
    """gunicorn --preload makes the application before it forks, and threads do not survive a fork."""
    gate = make_gate(tmp_path, more=OPEN + PROVIDER, SP_SESSION_CACHE="1")
    before = gate.core.rulebook.current
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        save(CLOSED + PROVIDER)
        gate.core.database.engine.dispose(close=False)
        deadline = time.monotonic() + 5
        while gate.core.rulebook.current is before and time.monotonic() < deadline:
            time.sleep(0.01)
        os.write(writing, b"same" if gate.core.rulebook.current is before else b"new")
        os._exit(0)
    os.waitpid(child, 0)
    assert os.read(reading, 4) == b"new"


def test_a_database_that_is_down_is_tried_again(
    gate: Gate, save: Callable[[str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reloading, "RETRY_SECONDS", 0.0)
    gate.core.database.engine.dispose()
    with gate.core.database.engine.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE provider RENAME TO hidden")
        connection.commit()
    save(CLOSED + PROVIDER)
    assert notes(gate) == 200
    assert "tried again later" in gate.core.reloader.state.mistakes[0]
    with gate.core.database.engine.connect() as connection:
        connection.exec_driver_sql("ALTER TABLE hidden RENAME TO provider")
        connection.commit()
    assert notes(gate) == 302
    assert gate.core.reloader.state.mistakes == ()


def wait_for(happened: Callable[[], bool], seconds: float = 10) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline
        time.sleep(0.01)


FAULTY = [CLOSED + "[[rules]", CLOSED + PROVIDER + HOLDS.replace("sign-in", "allow")]


@pytest.fixture(params=FAULTY, ids=["no TOML", "a test fails"])
def faulty(
    gate: Gate, tmp_path: Path, save: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, request: Any
) -> Gate:
    """A gateway whose file has become faulty, while a new worker gets the same settings from the environment."""
    settings = {
        "SP_INSTANCE": str(tmp_path),
        "SP_CONFIG": str(tmp_path / "rules.toml"),
        "SP_SECRET_KEY": (tmp_path / "secret-key").read_text(),
        "SP_EXTERNAL_URL": URL,
        "SP_SESSION_CACHE": "0",
    }
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    save(request.param)
    return gate


def test_a_worker_that_replaces_another_one_begins_with_what_is_in_force(faulty: Gate) -> None:
    """A killed worker can be replaced at any time, and the file may be half written or faulty then."""
    new = core_of(create_wsgi().own)
    assert new.rulebook.current.sites == faulty.core.rulebook.current.sites
    assert new.reloader.state.mistakes
    assert [item.provider.name for item in new.provider_store.load()] == ["corporate"]


@pytest.mark.parametrize("middleware", [Gateway, AsgiGateway])
def test_in_another_server_a_worker_is_refused_as_a_start_is(faulty: Gate, middleware: Any) -> None:
    """There, a replaced worker cannot be told from a start. See docs/guides/rules.md."""

    async def asgi(_scope: Any, _receive: Any, _send: Any) -> None:
        """Answer nothing."""

    app = asgi if middleware is AsgiGateway else create_welcome_app(faulty.core)
    with pytest.raises(SettingsRefused):
        middleware(app)
