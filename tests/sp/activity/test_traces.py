"""What the activity log keeps of each attempt: enough to find the cause, never a secret, never more than its size."""

import json
import re
import time
import zlib
from typing import Any
from urllib.parse import urlsplit

import pytest
from flask import Flask
from sqlalchemy import text
from werkzeug.test import Client
from werkzeug.wrappers import Response

from lab.cast import ALICE, CAROL
from lab.minting import mint
from shared import request_ids
from shared.errors import ClaimInvalid, SignatureInvalid
from shared.logout_tokens import LOGOUT_EVENT
from shared.look_alikes import looks_like
from shared.tokens import SIGN_OUT_TYPE
from sp.activity import packing, reading
from sp.activity.cleaning import REDACTED, clean, clean_url, cookie_names
from sp.activity.packing import pack, unpack
from sp.activity.record import Visitor as From
from sp.activity.trace import FAILED, PASSED, AccountDecision, CheckResult, Explained, Facts, Trace
from sp.diagnosis import near_misses
from sp.gateway import Gateway
from sp.signin import verification
from sp.signin.logbook import MAX_ROW, ROW_BYTES
from tests.sp.conftest import MakeGateway
from tests.sp.settings_support import CORPORATE, KEY, administrator_of
from tests.support.forms import Visitor
from tests.support.gateway import URL, core_of

FOREIGN = mint({"sub": "someone", "scope": "everything"}, "the secret of a third party, which is not ours")
LONG = "y" * 1000
OTHER_KEY = "the-secret-of-the-other-provider-of-this-gateway"
DICTIONARY = 247605727  # CRC 32 of the first one


@pytest.fixture
def app(gateway: MakeGateway) -> Flask:
    return gateway(
        {
            "corporate": {**CORPORATE, "unsolicited": "accept"},
            "restarting": CORPORATE | {"default": False, "keys": [OTHER_KEY]},
        }
    )


@pytest.fixture
def carol(app: Flask) -> Visitor:
    return administrator_of(app)


def claims(**more: Any) -> dict[str, Any]:
    now = int(time.time())
    return {"iat": now, "exp": now + 60, "jti": str(time.perf_counter_ns()), "email": ALICE.email, **more}


def last(app: Flask) -> Trace:
    return reading.latest(core_of(app).database, reading.Wanted(), 1)[0]


def sent(app: Flask, token: str, path: str = "/sso/login/jwt") -> Trace:
    app.test_client().get(path, query_string={"jwt": token})
    return last(app)


# What is kept


def test_a_good_sign_in_says_what_was_compared_what_was_decided_and_where_it_led(app: Flask) -> None:
    token = mint(claims(iss="https://idp.example", groups=["staff"], return_to="/courses/7?secret=1"), KEY)
    trace = sent(app, token, "/sso/login/jwt")
    assert (trace.event, trace.code, trace.provider) == ("sign_in", None, "corporate")
    assert trace.cause == "Signed in: account created: no account had this ID or e-mail address."
    told = trace.as_json()
    assert told["delivery"] == "query"
    assert told["header"] == {"typ": "JWT", "alg": "HS256"}
    assert told["claims"]["groups"] == ["staff"]
    assert told["account"]["decision"] == "created"
    assert told["sent_to"] == "/courses/7?…"
    checks = {check["name"]: check for check in told["checks"]}
    assert checks["signature"]["detail"] == f"HS256, with the key {told['key']}"
    assert checks["issuer"]["detail"] == "https://idp.example; any is accepted"
    assert re.fullmatch(r"(59|60) s left; clock_skew 30 s", checks["expiry"]["detail"])
    assert {check["outcome"] for check in told["checks"]} == {"passed", "skipped"}


@pytest.mark.parametrize("accept", ["text/html", "application/json"])
@pytest.mark.parametrize("way", ["query", "form", "header"])
def test_an_accepted_token_says_how_it_was_delivered(gateway: MakeGateway, way: str, accept: str) -> None:
    app = gateway({"corporate": {**CORPORATE, "unsolicited": "accept", "deliveries": ["query", "form", "header"]}})
    token = mint(claims(), KEY)
    places: dict[str, dict[str, Any]] = {
        "query": {"query_string": {"jwt": token}},
        "form": {"method": "POST", "data": {"jwt": token}},
        "header": {"method": "POST", "headers": {"Authorization": f"Bearer {token}"}},
    }
    more = places[way]
    more["headers"] = {"Accept": accept, **more.get("headers", {})}
    app.test_client().open("/sso/login/jwt", **more)
    assert (last(app).event, last(app).facts.delivery) == ("sign_in", way)


def test_an_empty_parameter_before_the_token_does_not_hide_how_it_came(app: Flask) -> None:
    app.test_client().get(f"/sso/login/jwt?jwt=&jwt={mint(claims(), KEY)}")
    assert (last(app).event, last(app).facts.delivery) == ("sign_in", "query")
    app.test_client().get(f"/sso/login/jwt?jwt=&jwt={mint(claims(exp=1), KEY)}")
    assert (last(app).event, last(app).facts.delivery) == ("refused", "query")


def test_an_assertion_came_by_form_whatever_the_authorization_header_says(app: Flask) -> None:
    grant = {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer"}
    for token, event in ((mint(claims(), KEY), "sign_in"), (mint(claims(exp=1), KEY), "refused")):
        stray = {"Authorization": f"Bearer {FOREIGN}"}
        app.test_client().post("/sso/token", data={**grant, "assertion": token}, headers=stray)
        assert (last(app).event, last(app).facts.delivery) == (event, "form")
        assert (last(app).facts.claims or {})["email"] == ALICE.email
        assert last(app).check("delivery") is None


@pytest.mark.parametrize("expires", [60, -600])
def test_a_sign_out_token_came_as_it_must_whatever_the_authorization_header_says(app: Flask, expires: int) -> None:
    ends, stray = int(time.time()) + expires, {"Authorization": f"Bearer {FOREIGN}"}
    for method, path, place, parameter, way in (
        ("POST", "/sso/logout/backchannel", "data", "logout_token", "form"),
        ("GET", "/sso/logout/jwt", "query_string", "jwt", "query"),
    ):
        told = claims(exp=ends, iat=ends - 60, sub="alice", events={LOGOUT_EVENT: {}})
        token = mint(told, KEY, {"typ": SIGN_OUT_TYPE, "alg": "HS256"})
        more: dict[str, Any] = {place: {parameter: token}}
        app.test_client().open(path, method=method, headers=stray, **more)
        trace = last(app)
        assert trace.facts.delivery == way, trace
        assert trace.check("delivery") is None


def test_a_sign_out_token_in_the_wrong_place_is_found_there(app: Flask) -> None:
    token = mint(claims(), KEY, {"typ": SIGN_OUT_TYPE, "alg": "HS256"})
    app.test_client().post("/sso/logout/backchannel", query_string={"logout_token": token})
    assert (last(app).code, last(app).facts.delivery) == ("token_missing", "query")
    assert last(app).cause == (
        "The token arrived in the query parameter logout_token; this URL takes it only in a form field."
    )


def test_a_second_sign_in_says_that_the_account_was_found_and_what_changed(app: Flask) -> None:
    sent(app, mint(claims(), KEY))
    account = sent(app, mint(claims(given_name="Alice"), KEY)).facts.account
    assert account == AccountDecision("found", "by the ID at the provider", 1, ("given_name",))


def test_the_members_are_those_of_the_protocol(app: Flask) -> None:
    members = "reference at event code cause provider delivery header claims key cookies checks account sent_to"
    told = sent(app, mint(claims(exp=1), KEY)).as_json()
    assert list(told) == [*members.split(), "request_id"]
    assert set(told["checks"][0]) == {"name", "outcome", "detail"}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", told["at"])


def test_a_rejection_has_every_check_and_the_unverified_content(app: Flask) -> None:
    trace = sent(app, mint(claims(exp=1, iat=1), "another secret of the cast, of a good length"))
    assert [check.name for check in trace.facts.checks if check.outcome == FAILED][:2] == ["signature", "expiry"]
    assert trace.facts.key is None
    assert (trace.facts.claims or {})["email"] == ALICE.email
    assert trace.facts.sent_to == "/access/jwt/error"


def test_the_checks_that_a_rejected_token_passed_say_what_they_compared(app: Flask) -> None:
    content = claims(mail=ALICE.email)
    del content["email"]
    checks = {check.name: check.detail for check in sent(app, mint(content, KEY)).facts.checks}
    assert re.fullmatch(r"(59|60) s left; clock_skew 30 s", checks["expiry"])
    assert re.fullmatch(r"[01] s; at most 300 s", checks["age"])
    assert checks["required"] == "the claim email is required and missing"


@pytest.mark.parametrize("wants", ["application/json", None])
def test_a_program_is_not_sent_anywhere(app: Flask, wants: str | None) -> None:
    headers = {"Accept": wants} if wants else {"Authorization": f"Bearer {FOREIGN}"}
    app.test_client().get("/sso/login/jwt", headers=headers)
    assert last(app).facts.sent_to is None


def test_restarts_questions_and_sign_outs_are_traces_too(app: Flask) -> None:
    restart = sent(app, mint(claims(), OTHER_KEY), "/sso/login/jwt/restarting")
    assert (restart.event, restart.facts.sent_to) == ("restart", "/sso/start")
    assert "had not asked for the token" in restart.cause
    sent(app, mint(claims(), KEY))
    events: dict[str, Any] = {"http://schemas.openid.net/event/backchannel-logout": {}}
    token = mint(claims(events=events), KEY, {"typ": SIGN_OUT_TYPE, "alg": "HS256"})
    assert app.test_client().post("/sso/logout/backchannel", data={"logout_token": token}).json == {"sessions_ended": 1}
    there = last(app)
    assert (there.event, there.facts.delivery) == ("sign_out", "form")
    assert there.facts.checks[-1].detail == "sessions ended: 1"
    assert (there.facts.claims or {})["email"] == ALICE.email


def test_the_own_sign_out_says_where_the_browser_was_sent(app: Flask, carol: Visitor) -> None:
    trace = last(app)
    assert trace.facts.account == AccountDecision("found", "by e-mail address and password", 1)
    carol.open("/logout")
    carol.send(carol.form("/logout"))
    trace = last(app)
    assert (trace.event, trace.cause) == ("sign_out", "Signed out: requested by the person.")
    assert "sp_session" in trace.facts.cookies


@pytest.mark.parametrize(("peer", "is_kept"), [("127.0.0.1", True), ("198.51.100.7", False)])
def test_the_request_id_of_a_trusted_proxy_is_in_the_trace_and_in_the_answer(
    gateway: MakeGateway, peer: str, is_kept: bool
) -> None:
    own = gateway({"corporate": {**CORPORATE, "unsolicited": "accept"}}, SP_TRUSTED_PROXIES="127.0.0.1")
    client = Client(Gateway(Response("the application"), own))
    for token in (mint(claims(), KEY), mint(claims(exp=1), KEY)):
        given = {"REMOTE_ADDR": peer, "HTTP_X_REQUEST_ID": "of-the-proxy-1", "HTTP_HOST": urlsplit(URL).netloc}
        answer = client.get("/sso/login/jwt", query_string={"jwt": token}, environ_overrides=given)
        kept = last(own).as_json()["request_id"]
        assert kept == answer.headers["X-Request-Id"]
        assert (kept == "of-the-proxy-1") is is_kept


def test_the_request_id_is_shown_on_the_page_and_in_the_command(app: Flask, carol: Visitor) -> None:
    request_ids.begin({"HTTP_X_REQUEST_ID": "the-id"}, lambda *_: print, trusted=True)
    reference = sent(app, mint(claims(exp=1), KEY)).reference
    request_ids.end()
    assert "the-id" in carol.open(f"/settings/activity/{reference}").text
    assert "request ID the-id\n" in app.test_cli_runner().invoke(args=("activity", "show", reference)).stdout
    without = sent(app, mint(claims(exp=1), KEY))
    assert without.facts.request_id is None
    assert "Request ID" not in carol.open(f"/settings/activity/{without.reference}").text


# What is never kept


def raw(app: Flask) -> str:
    """Return every line with its trace, as the database has it."""
    with core_of(app).database.engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM activity")).mappings().all()
    return " ".join(f"{dict(row)} {unpack(row['trace'])}" for row in rows)


HOSTILE: dict[str, Any] = {
    "a token in a claim": {"given_name": FOREIGN},
    "a token inside an object": {"profile": {"links": [{"next": f"https://x.example/?jwt={FOREIGN}"}]}},
    "a token as a name": {FOREIGN: 1},
    "a token in the issuer": {"iss": f"https://x.example/{FOREIGN}"},
    "a token in the audience": {"aud": ["x" * 90, FOREIGN]},
    "a token behind much text": {"given_name": "a" * 150 + FOREIGN},
    "an access token by its name": {"access_token": "opaque-and-secret-1"},
    "a password by its name": {"user": {"Password": "opaque-and-secret-1"}},
    "the shared secret": {"given_name": f"key={KEY}."},
    "the shared secret as a name": {KEY: "x"},
    "the shared secret in the issuer": {"iss": KEY},
    "the shared secret as the ID": {"sub": f"s-{KEY}"},
    "the shared secret of another provider": {"sub": f"{OTHER_KEY}-s", "given_name": OTHER_KEY},
    "the shared secret as the e-mail address": {"email": f"{OTHER_KEY}@example.com"},
    "a token as the ID": {"sub": FOREIGN},
    "a token as the e-mail address": {"email": f"{FOREIGN}@example.com"},
    "the nonce": {"nonce": "opaque-and-secret-1"},
}
SECRETS = (KEY, OTHER_KEY, "opaque-and-secret-1", *FOREIGN.split(".")[1:])


@pytest.mark.parametrize("name", HOSTILE)
@pytest.mark.parametrize("fate", ["accepted", "refused", "expired", "forged"])
def test_attack_a_hostile_token_leaves_no_secret_in_the_log(app: Flask, carol: Visitor, name: str, fate: str) -> None:
    times = {"iat": 1, "exp": 2} if fate == "expired" else {}
    token = mint(claims(**HOSTILE[name], **times), KEY[::-1] if fate == "forged" else KEY)
    if fate == "refused":  # after every check of the token: the line has its e-mail address and ID
        app.test_client().get("/sso/login/jwt", query_string={"jwt": token})
    app.test_client().get(
        "/sso/login/jwt",
        query_string={"jwt": token, "other": FOREIGN},
        headers={"User-Agent": f"Browser {FOREIGN}", "Cookie": f"app={FOREIGN}; {FOREIGN}=1"},
    )
    reference = last(app).reference
    pages = carol.open(f"/settings/activity/{reference}").text + carol.open("/settings/activity").text
    pages += carol.client.get("/settings/activity/export.csv", buffered=True).text
    pages += carol.client.get("/settings/activity/export.jsonl", buffered=True).text
    json_of_it = carol.open(f"/settings/activity/{reference}?format=json").text
    exported = app.test_cli_runner().invoke(args=("activity", "export")).stdout
    everything = (raw(app) + pages + json_of_it + exported).lower()
    for secret in (*SECRETS, *token.split(".")[1:]):
        assert secret.lower() not in everything


CUT: dict[str, tuple[dict[str, Any], int]] = {  # what is cut, with the place of the cut
    "the issuer": ({"iss": "{}"}, 80),
    "the issuer in the check": ({"iss": "{}"}, 100),
    "the audience": ({"aud": "{}"}, 80),
    "the domain": ({"email": "a@{}"}, 80),
    "the name of a claim": ({"email": None, "{}": 1}, 30),
    "the name of an object": ({"email": None, "{}": {"email": 1}}, 40),
    "the path to a claim": ({"email": None, "{}": {"email": 1}}, 60),
    "the largest claim": ({"{}": "x" * 9000}, 40),
}


@pytest.mark.parametrize("name", CUT)
def test_attack_a_secret_across_a_cut_leaves_no_part_in_the_log(gateway: MakeGateway, name: str) -> None:
    expected = {"issuer": {"expected": "https://idp.example"}, "audience": {"expected": "https://sp.example"}}
    strict = {**CORPORATE, **(expected if "iss" in name or "aud" in name else {}), "email_domains": ["example.com"]}
    app = gateway({"corporate": {**strict, "keys": [OTHER_KEY], "required_claims": ["iat", "exp", "jti", "email"]}})
    content, place = CUT[name]
    for length in range(9, 30, 4):
        filling = "x" * (place - length) + OTHER_KEY
        made = {key.replace("{}", filling): _filled(value, filling) for key, value in content.items()}
        sent(app, mint(claims(**made), OTHER_KEY))
        assert OTHER_KEY[:8] not in raw(app)


def _filled(value: Any, filling: str) -> Any:
    return value.replace("{}", filling) if isinstance(value, str) else value


def test_a_second_use_is_explained_although_the_id_is_not_kept(app: Flask) -> None:
    token = mint(claims(email=f"{OTHER_KEY}@example.com"), KEY)
    first = sent(app, token)
    assert (first.event, first.email) == ("sign_in", REDACTED)
    assert first.reference in sent(app, token).cause


def test_attack_the_mistaken_secret_is_named_and_not_shown(app: Flask) -> None:
    trace = sent(app, mint(claims(), KEY + "\n"))
    assert "with a line break behind it" in trace.cause
    assert KEY not in raw(app)


@pytest.mark.parametrize(
    ("url", "kept"),
    [
        ("/path?token=x#y", "/path?…"),
        ("https://u:p@host.example:8443/a?b", "https://host.example:8443/a?…"),
        (f"/reset/{FOREIGN}", "/reset/[token redacted]"),
        ("http://[", None),
        (None, None),
    ],
)
def test_a_url_is_kept_without_its_query_and_its_password(url: str | None, kept: str | None) -> None:
    assert clean_url(url) == kept


def test_cookies_are_named_only_and_not_without_end() -> None:
    assert cookie_names([f"c{n:03}" for n in range(100)]) == tuple(f"c{n:03}" for n in range(20))


def test_attack_deep_and_wide_claims_are_clipped(app: Flask) -> None:
    deep: Any = "x"
    for _ in range(900):
        deep = [deep]
    cleaned, clipped = clean({"deep": deep, "wide": list(range(10_000)), "huge": 10**400, "long": LONG})
    assert clipped
    assert len(json.dumps(cleaned)) < 1000
    assert clean({"password": {"a": 1}}) == ({"password": REDACTED}, False)


# Its size


NOISE = "".join(chr(0x100 + n * n * 7919 % 20_000) for n in range(400))  # hardly compressed, up to three bytes a letter
WORST = Facts(
    header={f"h{n}": NOISE[n:] for n in range(8)},
    claims={NOISE[n : n + 50]: NOISE[n:] for n in range(20)},
    checks=tuple(CheckResult(f"check_{n}", FAILED if n % 2 else PASSED, NOISE[n:]) for n in range(20)),
    account=AccountDecision("refused", NOISE),
    request_id="".join(chr(0x30 + n * n * 7919 % 75) for n in range(64)),
)


@pytest.mark.parametrize("limit", [40, 120, 300, 600, 2000])
def test_a_trace_fits_and_says_that_it_was_clipped(limit: int) -> None:
    packed = pack(WORST, limit)
    assert packed is not None
    assert len(packed) <= limit
    assert unpack(packed).clipped


def test_the_request_id_is_clipped_last_because_it_leads_to_the_log() -> None:
    assert [unpack(pack(WORST, limit)).request_id for limit in (40, 120, 2000)] == [None, *2 * [WORST.request_id]]


def test_what_is_packed_is_unpacked_again() -> None:
    facts = Facts(
        "form",
        {"alg": "HS256"},
        {"a": [1, 2.5, None, True, "ü"]},
        "0f" * 8,
        ("sp_session",),
        (CheckResult("age", PASSED, "1 s"), CheckResult("expiry", FAILED, "over")),
        AccountDecision("found", "by the ID", 7, ("name",)),
        "/x",
        True,
        "0123456789abcdef",
    )
    packed = pack(facts, 4096)
    assert packed is not None
    assert unpack(packed) == facts
    assert unpack(None) == unpack(b"\xff later") == Facts()


def test_a_dictionary_that_was_used_is_never_changed() -> None:
    """What was written with it could not be read any more. Add a second one in its place."""
    assert {number: zlib.crc32(octets) for number, octets in packing.DICTIONARIES.items()} == {1: DICTIONARY}


def test_attack_no_refusal_takes_more_than_a_kibibyte(app: Flask) -> None:
    explained = Explained(NOISE * 5, WORST)
    for number in range(5):
        visitor = From("2001:db8::1", NOISE)
        core_of(app).logbook.note_refusal(
            SignatureInvalid(LONG), visitor, reference=f"W{number}", explain=lambda: explained
        )
    with core_of(app).database.engine.connect() as connection:
        rows = connection.execute(text("SELECT * FROM activity")).mappings().all()
    assert len(rows) == 5
    for row in rows:
        size = sum(len(str(row[name]).encode()) for name in ("user_agent", "detail")) + len(row["trace"] or b"")
        assert ROW_BYTES + size <= MAX_ROW


def test_attack_only_refusals_with_a_line_are_explained(app: Flask) -> None:
    """Looking for the cause costs more than the refusal, so a flood must not cause it."""
    explained = 0

    def explain() -> Explained:
        nonlocal explained
        explained += 1
        return Explained(LONG, WORST)

    for number in range(3000):
        core_of(app).logbook.note_refusal(ClaimInvalid(LONG), From(), reference=f"F{number}", explain=explain)
    assert explained < 1000


def test_attack_hundreds_of_claims_are_not_each_compared_with_those_that_are_missing(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_at: list[str] = []

    def counted(name: str) -> str:
        looked_at.append(name)
        return looks_like(name)

    for module in (near_misses, verification):
        monkeypatch.setattr(module, "looks_like", counted)
    trace = sent(app, mint({f"k{number}": number for number in range(450)}, KEY[::-1]))
    assert trace.code == "signature_invalid"
    assert len(looked_at) <= 10 * 40  # four names are missing, and two modules look


def test_a_refusal_stays_one_if_its_cause_cannot_be_found(app: Flask) -> None:
    def explain() -> Explained:
        raise RecursionError

    core_of(app).logbook.note_refusal(ClaimInvalid("exp is bad"), From(), reference="ODD", explain=explain)
    assert last(app).cause == "exp is bad"


# Reading


def test_the_page_shows_the_cause_the_checks_and_the_claims(app: Flask, carol: Visitor) -> None:
    trace = sent(app, mint(claims(email=None, mail=ALICE.email), KEY))
    page = carol.open(f"/settings/activity/{trace.reference}")
    assert trace.cause == (
        "The claim email is there, but it is null. The token has 'mail' instead. The claim must be named email."
    )
    assert "The claim email is there, but it is null" in carol.text
    for words in (
        "Checks",
        "profile",
        "failed",
        "What the token said",
        "sp_" if trace.facts.cookies else "query parameter",
    ):
        assert words in carol.text
    assert page.status_code == 200


def test_the_trace_is_json_for_programs_and_for_administrators_only(app: Flask, carol: Visitor) -> None:
    trace = sent(app, mint(claims(exp=1), KEY))
    url = f"/settings/activity/{trace.reference}"
    assert carol.client.get(url, headers={"Accept": "application/json"}).json == trace.as_json()
    assert carol.client.get(f"{url}?format=json").json == trace.as_json()
    assert "claims" not in app.test_client().get(f"{url}?format=json").text


def test_a_line_of_an_older_version_is_shown(app: Flask, carol: Visitor) -> None:
    sent(app, mint(claims(exp=1), KEY))
    with core_of(app).database.engine.begin() as connection:
        connection.execute(text("UPDATE activity SET trace = NULL"))
    assert carol.open(f"/settings/activity/{last(app).reference}").status_code == 200


def test_an_export_reads_everything_in_order_however_many_rows_are_read_at_once(
    app: Flask, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "AT_ONCE", 3)
    for _ in range(7):
        sent(app, mint(claims(exp=1), KEY))
    found = [*reading.every(core_of(app).database, reading.Wanted(code="token_expired"))]
    assert len(found) == 7
    assert found[-1].reference == last(app).reference
    assert CAROL.email not in repr(found)
