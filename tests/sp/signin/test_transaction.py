"""A sign-in is one transaction: if it fails in the middle, all of it is stored or none of it.

On SQLite and on PostgreSQL, with processes that are really killed and sign-ins that really meet.
"""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine, event, func, select, text, update

from lab.cast import ALICE, MALLORY
from lab.forging import forge, key_for
from shared.errors import (
    ClaimInvalid,
    CookiesBlocked,
    EmailConflict,
    Rejection,
    SeatLimitReached,
    StoreUnavailable,
    TokenReplayed,
    UserDisabled,
    UserUnknown,
)
from sp.activity.record import Visitor
from sp.components import Components
from sp.database.models import Account, Activity, Identity, ProviderKey, SessionRecord, SpentToken
from sp.sessions.store import API
from sp.signin.attempt import Attempt
from sp.signin.opening import Opening
from sp.signin.transaction import SignedIn
from sp.signin.verification import Verified, acceptable_until, verify
from tests.support.gateway import core_of, make_gateway, migrated_postgresql
from tests.support.statements import watched
from tests.support.stores import PostgreSQL, Redis

KEY = key_for("HS256")
PROVIDERS: dict[str, Mapping[str, Any]] = {
    "corporate": {"keys": [KEY.secret], "default": True, "mapping": {"id": "sub", "department": "department"}},
    "partner": {"keys": [KEY.secret], "mapping": {"id": "sub"}},
    "silent": {"keys": [KEY.secret], "mapping": {"id": "sub"}, "update_profile": False},
    "either": {"keys": [KEY.secret], "mapping": {"id": ["sub", "email"]}},
    "closed": {"keys": [KEY.secret], "mapping": {"id": "sub"}, "auto_create": False},
}
TABLES = (Account, Identity, SessionRecord, SpentToken, Activity)
END_OTHERS = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
    " WHERE datname = current_database() AND pid <> pg_backend_pid()"
)
WHO = Visitor("192.0.2.1", "a browser")
Claims = dict[str, Any]


@dataclass
class Gate:
    """A gateway's parts, and what its database holds."""

    core: Components

    @property
    def engine(self) -> Engine:
        return self.core.database.engine

    def claims(self, **claims: Any) -> Claims:
        """Return the claims of a good token for Alice; None leaves one out."""
        now = int(time.time())
        whole = {
            "sub": "alice",
            "iat": now,
            "exp": now + 60,
            "jti": os.urandom(8).hex(),
            "email": ALICE.email,
            **claims,
        }
        return {name: value for name, value in whole.items() if value is not None}

    def verified(self, claims: Claims, provider: str = "corporate") -> Verified:
        trusted = self.core.provider_registry.get(provider)
        token = forge({"alg": "HS256"}, claims, KEY.sign)
        return verify(token, trusted.provider, trusted.keys(), time.time())

    def sign_in(self, provider: str = "corporate", /, *, given: Claims | None = None, **claims: Any) -> SignedIn:
        """Sign Alice in with a new token, or with the *given* claims."""
        verified = self.verified(given or self.claims(**claims), provider)
        trusted = self.core.provider_registry.get(provider)
        return self.core.sign_in.with_token(verified, trusted, Opening(WHO, os.urandom(5).hex()))

    def restart(self, claims: Claims) -> None:
        trusted = self.core.provider_registry.get("corporate")
        self.core.sign_in.restart(self.verified(claims), trusted, WHO, reference=os.urandom(5).hex())

    def rows(self) -> dict[str, int]:
        """Return how many rows each table has."""
        with self.engine.connect() as connection:
            return {
                table.__tablename__: connection.execute(select(func.count()).select_from(table)).scalar_one()
                for table in TABLES
            }

    def account(self, email: str = ALICE.email) -> Any:
        with self.engine.connect() as connection:
            return connection.execute(select(Account.__table__).where(Account.email == email)).one()


MakeGate = Callable[..., Gate]
EMPTY = {table.__tablename__: 0 for table in TABLES}
ONE_SIGN_IN = dict.fromkeys(EMPTY, 1)


@pytest.fixture(params=["sqlite", "postgresql"])
def make_gate(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[MakeGate]:
    """Return the function that makes a gateway on a database of this test; each call is another node."""
    environ: dict[str, str] = {}
    if request.param == "postgresql":
        server: PostgreSQL = request.getfixturevalue("postgresql")
        environ["SP_DATABASE_URL"] = migrated_postgresql(server)
    made: list[Gate] = []

    def make(**more: str) -> Gate:
        app = make_gateway(tmp_path, None if made else PROVIDERS, **environ, **more)
        made.append(Gate(core_of(app)))
        return made[-1]

    yield make
    for gate in made:
        gate.engine.dispose()


@pytest.fixture
def gate(make_gate: MakeGate) -> Gate:
    return make_gate()


# --- Atomicity ---


def test_a_sign_in_spends_creates_opens_and_notes_in_one_transaction_with_one_commit(gate: Gate) -> None:
    commits: list[None] = []
    event.listen(gate.engine, "commit", lambda _connection: commits.append(None))
    signed_in = gate.sign_in(department="it")
    assert len(commits) == 1
    assert gate.rows() == ONE_SIGN_IN
    assert (signed_in.email, signed_in.created) == (ALICE.email, True)
    session = gate.core.sessions.find(signed_in.secret)
    assert session is not None
    assert session.attributes == {"department": "it"}


@pytest.mark.parametrize("access_token", [False, True])
def test_a_sign_in_of_a_known_person_is_five_statements_and_one_more_with_an_access_token(
    gate: Gate, access_token: bool
) -> None:
    gate.sign_in()
    verified, trusted = gate.verified(gate.claims()), gate.core.provider_registry.get("corporate")
    seen: list[str] = []
    with watched(gate.engine, before=seen.append):
        gate.core.sign_in.with_token(verified, trusted, Opening(WHO, "r", access_token=access_token))
    others = ("PRAGMA", "SELECT set_config", "select pg_catalog", "SHOW", "show", "BEGIN", "COMMIT")
    assert [statement.split()[0] for statement in seen if not statement.startswith(others)] == [
        "INSERT",  # the token is spent
        "SELECT",  # the account
        "UPDATE",
        *["INSERT"] * (2 if access_token else 1),  # sessions
        "INSERT",  # the activity log
    ]


def test_a_kill_at_any_statement_leaves_neither_an_account_nor_a_spent_token(gate: Gate) -> None:
    claims = gate.claims()
    statements = 0
    while killed_at_statement(gate, statements, claims):
        assert gate.rows() == EMPTY, f"killed at statement {statements}"
        statements += 1
    assert statements >= 6  # spend, two look-ups, account, identity, session, activity
    assert gate.rows() == ONE_SIGN_IN  # the last one was not killed
    with pytest.raises(TokenReplayed):
        gate.sign_in(given=claims)


def killed_at_statement(gate: Gate, number: int, claims: Claims) -> bool:
    """Sign in from another process, which is killed before statement *number*; tell whether it came so far."""
    gate.engine.dispose()  # a connection must not be shared with the child
    child = os.fork()
    if child == 0:
        with suppress(BaseException):
            with interrupted(gate.engine, number, lambda: os.kill(os.getpid(), signal.SIGKILL)):
                gate.sign_in(given=claims)
            os._exit(0)
        os._exit(1)
    _pid, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return True
    assert os.WEXITSTATUS(status) == 0, "the sign-in failed by itself"
    return False


@contextmanager
def interrupted(engine: Engine, number: int, interrupt: Callable[[], None]) -> Iterator[None]:
    """Call *interrupt* before statement *number* of each writing transaction, the commit included."""
    seen, is_writing = 0, False

    def begin(connection: Any) -> None:
        nonlocal seen, is_writing
        seen, is_writing = 0, connection.get_execution_options().get("write", False)

    def count(*_: Any) -> None:
        nonlocal seen
        if is_writing:
            if seen == number:
                interrupt()
            seen += 1

    def end(_connection: Any) -> None:
        nonlocal is_writing
        is_writing = False

    listeners = [("begin", begin), ("commit", count), ("commit", end), ("rollback", end)]
    if engine.dialect.name == "postgresql":
        listeners.remove(("commit", count))  # its COMMIT is a statement, and is done by then
    with watched(engine, before=count):
        for name, listener in listeners:
            event.listen(engine, name, listener)
        try:
            yield
        finally:
            for name, listener in listeners:
                event.remove(engine, name, listener)


def gone(engine: Engine) -> Exception:
    """Return an error of the driver."""
    driver: Any = engine.dialect.loaded_dbapi
    error: Exception = driver.OperationalError("the database went away")
    return error


def test_an_error_at_any_statement_leaves_nothing_and_the_token_is_good_again(gate: Gate) -> None:
    def fail() -> None:
        raise gone(gate.engine)

    claims, number = gate.claims(), 0
    while True:
        try:
            with interrupted(gate.engine, number, fail):
                gate.sign_in(given=claims)
            break
        except StoreUnavailable:
            assert gate.rows() == EMPTY, f"failed at statement {number}"
        number += 1
    assert number >= 6
    assert gate.rows() == ONE_SIGN_IN


def test_with_redis_an_error_leaves_the_token_unspent_as_well(tmp_path: Path, redis_server: Redis) -> None:
    app = make_gateway(tmp_path, PROVIDERS, SP_REPLAY_URL=redis_server.url)
    gate = Gate(core_of(app))
    claims = gate.claims(jti=os.urandom(8).hex())

    def fail() -> None:
        raise gone(gate.engine)

    with pytest.raises(StoreUnavailable), interrupted(gate.engine, 2, fail):
        gate.sign_in(given=claims)
    assert gate.rows() == EMPTY
    gate.sign_in(given=claims)
    with pytest.raises(TokenReplayed):
        gate.sign_in(given=claims)
    with pytest.raises(TokenReplayed):  # a replay must not make it good again
        gate.sign_in(given=claims)
    gate.engine.dispose()


def test_with_redis_down_nobody_is_let_in_and_nothing_is_written(tmp_path: Path) -> None:
    gate = Gate(core_of(make_gateway(tmp_path, PROVIDERS, SP_REPLAY_URL="redis://127.0.0.1:1/0")))
    with pytest.raises(StoreUnavailable):
        gate.sign_in()
    assert gate.rows() == EMPTY
    gate.engine.dispose()


@pytest.mark.parametrize(
    ("provider", "claims", "refused_as"),
    [
        ("closed", {}, UserUnknown),
        ("corporate", {"email": MALLORY.email, "sub": "other"}, EmailConflict),
        ("corporate", {"sub": "disabled", "email": "bob@example.com"}, UserDisabled),
        ("corporate", {"email": "no address"}, ClaimInvalid),
    ],
)
def test_a_refused_sign_in_spends_nothing(
    gate: Gate, provider: str, claims: Claims, refused_as: type[Rejection]
) -> None:
    gate.sign_in(sub="mallory", email=MALLORY.email)
    gate.sign_in(sub="disabled", email="bob@example.com")
    with gate.engine.begin() as connection:
        connection.execute(update(Account).where(Account.email == "bob@example.com").values(is_active=False))
    before = gate.rows()
    given = gate.claims(**claims)
    for _ in range(2):  # the second time is not a replay, because the first did not spend the token
        with pytest.raises(refused_as):
            gate.sign_in(provider, given=given)
    assert gate.rows() == before


# --- Ids of different claims ---


def test_attack_a_person_whose_sub_is_bobs_address_is_not_taken_for_bob(gate: Gate) -> None:
    gate.sign_in("either", sub=None, email="bob@example.org")
    attacker = gate.sign_in("either", sub="bob@example.org", email=MALLORY.email)
    assert attacker.created
    assert attacker.email == MALLORY.email
    assert gate.sign_in("either", sub=None, email="bob@example.org").email == "bob@example.org"


def test_attack_a_person_whose_address_is_anothers_sub_is_not_taken_for_that_one(gate: Gate) -> None:
    gate.sign_in("either", sub="bob@example.org", email="robert@example.org")
    assert gate.sign_in("either", sub=None, email="bob@example.org").created


@pytest.mark.parametrize(("sub", "claim"), [(None, "email"), ("bob@example.org", "sub")])
def test_an_id_whose_claim_is_not_known_waits_for_its_person_and_then_belongs_to_that_claim(
    gate: Gate, sub: str | None, claim: str
) -> None:
    """Identities of the version before: which claim they came from shows at the next sign-in."""
    bob = gate.sign_in("either", sub=sub, email="bob@example.org").account_id
    with gate.engine.begin() as connection:
        connection.execute(update(Identity).values(claim=""))
    again = gate.sign_in("either", sub=sub, email="bob@example.org")
    assert (again.created, again.account_id) == (False, bob)
    with gate.engine.connect() as connection:
        assert connection.execute(select(Identity.claim)).scalars().all() == [claim]


def test_attack_an_id_whose_claim_is_not_known_is_not_taken_over_by_a_sub_of_that_spelling(gate: Gate) -> None:
    bob = gate.sign_in("either", sub=None, email="bob@example.org").account_id
    with gate.engine.begin() as connection:
        connection.execute(update(Identity).values(claim=""))
    assert gate.sign_in("either", sub="bob@example.org", email=MALLORY.email).created
    assert gate.sign_in("either", sub=None, email="bob@example.org").account_id == bob


# --- Seats ---


def test_of_first_sign_ins_that_race_for_five_seats_exactly_five_win(make_gate: MakeGate) -> None:
    nodes = [make_gate(SP_SEAT_LIMIT="5") for _ in range(2)]
    outcomes = at_once(
        [lambda n=n: nodes[n % 2].sign_in(sub=f"p-{n}", email=f"p-{n}@example.com") for n in range(14)]  # type: ignore[misc]
    )
    assert Counter(outcomes) == {"signed in": 5, "seat_limit_reached": 9}
    rows = nodes[0].rows()
    assert (rows["account"], rows["session"], rows["spent_token"]) == (5, 5, 5)


def test_a_full_house_admits_those_who_have_a_seat_and_a_freed_seat_is_taken_once(make_gate: MakeGate) -> None:
    gate = make_gate(SP_SEAT_LIMIT="2")
    gate.sign_in()
    gate.sign_in(sub="mallory", email=MALLORY.email)
    gate.sign_in()
    with pytest.raises(SeatLimitReached):
        gate.sign_in(sub="third", email="third@example.com")
    gate.core.people.disable(gate.account(MALLORY.email).id)
    gate.sign_in(sub="third", email="third@example.com")
    with pytest.raises(SeatLimitReached):
        gate.core.people.enable(gate.account(MALLORY.email).id)
    with pytest.raises(UserDisabled):
        gate.sign_in(sub="mallory", email=MALLORY.email)


# --- Sign-ins that meet ---


@pytest.mark.parametrize("seats", ["0", "1"])
def test_first_sign_ins_of_one_person_that_meet_give_one_account_and_let_all_in(
    make_gate: MakeGate, seats: str
) -> None:
    nodes = [make_gate(SP_SEAT_LIMIT=seats) for _ in range(2)]
    created: list[bool] = []
    outcomes = at_once(
        [lambda n=n: created.append(nodes[n % 2].sign_in().created) for n in range(8)]  # type: ignore[misc]
    )
    assert Counter(outcomes) == {"signed in": 8}
    rows = nodes[0].rows()
    assert (rows["account"], rows["identity"], rows["session"], rows["spent_token"]) == (1, 1, 8, 8)
    assert Counter(created) == {True: 1, False: 7}


def test_two_people_who_claim_one_address_at_the_same_moment_do_not_become_one(make_gate: MakeGate) -> None:
    nodes = [make_gate() for _ in range(2)]
    outcomes = at_once([lambda n=n: nodes[n % 2].sign_in(sub=f"id-{n}") for n in range(6)])  # type: ignore[misc]
    assert Counter(outcomes) == {"signed in": 1, "email_conflict": 5}
    assert nodes[0].rows() == ONE_SIGN_IN


def test_one_token_that_is_sent_many_times_at_once_signs_in_once(make_gate: MakeGate) -> None:
    nodes = [make_gate() for _ in range(2)]
    claims = nodes[0].claims()
    outcomes = at_once([lambda n=n: nodes[n % 2].sign_in(given=claims) for n in range(10)])  # type: ignore[misc]
    assert Counter(outcomes) == {"signed in": 1, "token_replayed": 9}
    assert nodes[0].rows() == ONE_SIGN_IN


def at_once(calls: list[Callable[[], object]]) -> list[str]:
    """Make all *calls* at the same moment; return what became of each."""
    outcomes: list[str] = []
    start = threading.Barrier(len(calls))

    def run(call: Callable[[], object]) -> None:
        start.wait(30)
        try:
            call()
            outcomes.append("signed in")
        except Rejection as rejection:
            outcomes.append(rejection.code)
        except BaseException as error:
            outcomes.append(repr(error))

    threads = [threading.Thread(target=run, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return outcomes


@contextmanager
def slowed_after_look_up(gate: Gate, seconds: float) -> Iterator[threading.Event]:
    """Let each sign-in wait between its look at the account and what it does; the event tells that one waits."""
    waiting = threading.Event()

    def wait(statement: str) -> None:
        if statement.startswith("SELECT account.id") and threading.current_thread().name == "slow":
            waiting.set()
            time.sleep(seconds)

    with watched(gate.engine, after=wait):
        yield waiting


def test_an_older_token_that_is_overtaken_by_a_newer_one_does_not_overwrite_it(make_gate: MakeGate) -> None:
    slow, fast = make_gate(), make_gate()
    now = int(time.time())
    slow.sign_in(iat=now - 20, given_name="First")
    older = slow.claims(iat=now - 10, given_name="Older")
    with slowed_after_look_up(slow, 0.3) as waiting:
        thread = threading.Thread(target=lambda: slow.sign_in(given=older), name="slow")
        thread.start()
        assert waiting.wait(10)
        fast.sign_in(iat=now, given_name="Newer")
        thread.join(10)
    assert fast.account().given_name == "Newer"
    assert fast.rows()["session"] == 3


def test_an_older_token_that_waits_for_a_newer_one_of_another_provider_does_not_overwrite_it(
    make_gate: MakeGate,
) -> None:
    """The older one has asked for the account before the newer one has written it, and reads it afterwards."""
    slow, waits = make_gate(), make_gate()
    now = int(time.time())
    slow.sign_in(iat=now - 30, given_name="First")
    slow.sign_in("partner", iat=now - 20, given_name="Second")
    newer = slow.claims(iat=now, given_name="Newer")
    with slowed_after_look_up(slow, 0.5) as waiting:
        thread = threading.Thread(target=lambda: slow.sign_in("partner", given=newer), name="slow")
        thread.start()
        assert waiting.wait(10)
        waits.sign_in(iat=now - 10, given_name="Older")
        thread.join(10)
    assert waits.account().given_name == "Newer"
    assert waits.rows()["session"] == 4


def test_an_account_that_is_disabled_during_a_sign_in_has_no_session_afterwards(make_gate: MakeGate) -> None:
    slow, administrator = make_gate(), make_gate()
    slow.sign_in()
    with slowed_after_look_up(slow, 0.3) as waiting:
        thread = threading.Thread(target=lambda: slow.sign_in(), name="slow")
        thread.start()
        assert waiting.wait(10)
        administrator.core.people.disable(slow.account().id)
        thread.join(10)
    assert slow.rows()["session"] == 0


# --- What a sign-in leaves ---


def test_an_account_is_joined_by_address_and_keeps_what_the_provider_does_not_say(gate: Gate) -> None:
    gate.sign_in(given_name="Alice", groups=["staff"], department="it")
    joined = gate.sign_in("partner", sub="a-77", email=ALICE.email.upper(), given_name="Alicia")
    assert not joined.created
    account = gate.account()
    assert (account.given_name, account.groups, account.attributes) == ("Alicia", ["staff"], {"department": "it"})
    assert gate.rows()["identity"] == 2
    with pytest.raises(EmailConflict):
        gate.sign_in("partner", sub="a-78")


def test_an_older_token_of_another_provider_does_not_overwrite_newer_data_when_it_joins(gate: Gate) -> None:
    now = int(time.time())
    gate.sign_in(iat=now, given_name="NEW")
    gate.sign_in("partner", sub="a-77", iat=now - 200, given_name="OLD", family_name="Old")
    assert (gate.account().given_name, gate.account().family_name) == ("NEW", None)
    assert gate.rows()["identity"] == 2
    gate.sign_in("partner", sub="a-77", iat=now - 100, given_name="OLD")  # nor later, when it is linked
    assert gate.account().given_name == "NEW"
    gate.sign_in("partner", sub="a-77", iat=now + 1, given_name="NEWER")
    assert gate.account().given_name == "NEWER"


def test_an_older_token_of_another_provider_that_is_linked_already_does_not_overwrite_newer_data(gate: Gate) -> None:
    now = int(time.time())
    gate.sign_in(iat=now - 250, given_name="First")
    gate.sign_in("partner", iat=now - 240, given_name="Second")
    gate.sign_in(iat=now, given_name="NEW")
    gate.sign_in("partner", iat=now - 200, given_name="OLD")
    assert gate.account().given_name == "NEW"


def test_an_older_token_does_not_turn_the_clock_back(gate: Gate) -> None:
    now = int(time.time())
    gate.sign_in(iat=now, given_name="NEW")
    gate.sign_in("partner", iat=now - 200)
    gate.sign_in(iat=now - 100, given_name="OLD")
    assert gate.account().given_name == "NEW"


def test_a_provider_that_changes_nothing_keeps_no_other_from_it(gate: Gate) -> None:
    now = int(time.time())
    gate.sign_in(iat=now - 200, given_name="First")
    gate.sign_in("silent", iat=now, given_name="Unheard")
    gate.sign_in(iat=now - 100, given_name="Second")
    assert gate.account().given_name == "Second"


@pytest.mark.parametrize(("first", "then"), [("jürgen@example.com", "jürgen@EXAMPLE.com"), ("пётр@example.com",) * 2])
def test_an_account_is_joined_by_an_address_with_other_letters_than_ascii(gate: Gate, first: str, then: str) -> None:
    gate.sign_in(sub="one", email=first)
    assert not gate.sign_in("partner", sub="two", email=then).created
    assert (gate.rows()["account"], gate.rows()["identity"]) == (1, 2)


def test_attack_a_look_alike_of_an_address_with_other_letters_than_ascii_joins_nothing(gate: Gate) -> None:
    gate.sign_in(sub="one", email="jürgen@example.com")
    for look_alike in (
        "ju\u0308rgen@example.com",
        "jürgen@example\uff0ecom",
        "JÜRGEN@example.com",
        "ｊürgen@example.com",
    ):
        with pytest.raises(EmailConflict, match="only looks like"):
            gate.sign_in("partner", sub="two", email=look_alike)


def test_the_same_jti_of_two_providers_is_two_tokens(gate: Gate) -> None:
    gate.sign_in(jti="1")
    gate.sign_in("partner", jti="1")
    with pytest.raises(TokenReplayed):
        gate.sign_in("partner", jti="1")


def test_a_token_is_remembered_until_nobody_accepts_it_any_more(gate: Gate) -> None:
    claims = gate.claims()
    gate.sign_in(given=claims)
    verified = gate.verified(claims)
    with gate.engine.connect() as connection:
        remembered = connection.execute(select(SpentToken.expires_at)).scalar_one()
    assert remembered == acceptable_until(verified.claims, gate.core.provider_registry.get("corporate").provider)
    assert remembered > claims["exp"] + 30


@pytest.mark.parametrize(
    ("sid", "kept"),
    [("s-1", "s-1"), (None, None), (7, None), ("", None), ("x" * 512, "x" * 512), ("x" * 513, None), ("a\nb", None)],
)
def test_the_providers_own_session_is_remembered_if_it_has_a_name(gate: Gate, sid: Any, kept: str | None) -> None:
    gate.sign_in(sid=sid)
    with gate.engine.connect() as connection:
        assert connection.execute(select(SessionRecord.provider_session)).scalar_one() == kept


def test_an_access_token_is_a_second_session_that_is_no_browsers(gate: Gate) -> None:
    trusted, verified = gate.core.provider_registry.get("corporate"), gate.verified(gate.claims())
    signed_in = gate.core.sign_in.with_token(verified, trusted, Opening(WHO, "r", access_token=True))
    assert signed_in.access_token
    assert gate.core.sessions.find(signed_in.access_token) is None
    assert gate.core.sessions.find(signed_in.access_token, API)
    assert gate.rows() == ONE_SIGN_IN | {"session": 2}
    session = gate.core.sessions.find(signed_in.secret)
    assert session is not None
    assert gate.core.sessions.end(id_hash=session.id_hash) == 2
    assert gate.core.sessions.find(signed_in.access_token, API) is None


def test_the_key_that_verified_is_seen_to_be_in_use(gate: Gate) -> None:
    gate.sign_in()
    with gate.engine.connect() as connection:
        query = select(ProviderKey.provider).where(ProviderKey.last_used_at.is_not(None))
        assert connection.execute(query).scalars().all() == ["corporate"]


def test_what_has_run_out_is_cleaned_up_by_the_way(gate: Gate) -> None:
    gate.sign_in()
    with gate.engine.begin() as connection:
        connection.execute(update(SpentToken).values(expires_at=1))
        connection.execute(update(SessionRecord).values(expires_at=1))
    assert gate.core.housekeeping.clean_up()
    rows = gate.rows()
    assert (rows["spent_token"], rows["session"]) == (0, 0)


# --- Restarts and refusals ---


def test_a_token_that_nobody_asked_for_is_spent_and_opens_nothing(gate: Gate) -> None:
    claims = gate.claims()
    gate.restart(claims)
    assert gate.rows() == EMPTY | {"spent_token": 1, "activity": 1}
    with pytest.raises(TokenReplayed):
        gate.sign_in(given=claims)


def test_a_second_restart_within_a_minute_means_that_cookies_are_blocked(gate: Gate) -> None:
    gate.restart(gate.claims())
    with pytest.raises(CookiesBlocked):
        gate.restart(gate.claims())
    gate.sign_in()  # it worked after all
    gate.restart(gate.claims())


def test_a_refusal_that_cannot_be_written_down_is_still_a_refusal(gate: Gate) -> None:
    with gate.engine.begin() as connection:
        connection.execute(text("ALTER TABLE activity RENAME TO elsewhere"))
    gate.core.logbook.note_refusal(UserUnknown("nobody"), WHO, reference="r")


def test_a_refusal_is_written_down_with_what_is_known_and_without_the_token(gate: Gate) -> None:
    verified = gate.verified(gate.claims(sub="x" * 600, email="y" * 300))
    token = forge({"alg": "HS256"}, verified.claims.raw, KEY.sign)
    gate.core.logbook.note_refusal(
        UserUnknown(f"no account for {token}"),
        WHO,
        reference="r",
        attempt=Attempt(gate.core.provider_registry.get("corporate").provider, verified),
    )
    with gate.engine.connect() as connection:
        row = connection.execute(select(Activity.__table__)).one()
    assert (row.code, row.provider, row.subject, row.email) == (
        "user_unknown",
        "corporate",
        "x" * 57 + "…",
        "y" * 97 + "…",
    )
    assert row.detail == "no account for [token redacted]"
    assert row.token_key == verified.token_key


def test_nothing_of_this_needs_a_connection_that_was_open_before(gate: Gate) -> None:
    """A database that was restarted is found again."""
    gate.sign_in()
    if gate.engine.dialect.name == "postgresql":
        other = create_engine(gate.engine.url)
        with suppress(Exception), other.connect() as connection:
            connection.execute(text(END_OTHERS))
        other.dispose()
        with suppress(StoreUnavailable):
            gate.sign_in()
    gate.sign_in()
