"""The decision itself, on unusual paths and rules."""

import posixpath
import re
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import quote, unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sp.policy import readings as counted
from sp.policy.decision import Policy, Rule, Verdict
from sp.policy.readings import MAX_MARKS, MAX_READINGS, MAX_WORK, readings


@dataclass(frozen=True)
class Someone:
    email: str
    groups: tuple[str, ...] = ()


STAFF = Someone("alice@example.com", ("staff",))
RULES = (
    Rule("/public/", frozenset({"GET"}), "anyone"),
    Rule("/admin/", allow="members", groups=frozenset({"admins"})),
    Rule("/a b/", allow="anyone"),
    Rule("/people/jürgen", allow="members", users=frozenset({"jürgen@example.com"})),
)


@pytest.mark.parametrize(
    ("path", "verdict"),
    [
        ("/admin/x", Verdict.FORBID),
        ("/%61dmin/x", Verdict.FORBID),  # an application that decodes again reads /admin/x
        ("/%2561dmin/x", Verdict.FORBID),
        ("/admin;v=1/x", Verdict.FORBID),  # as Java servers read it
        ("/\uff41dmin/x", Verdict.FORBID),  # a full-width a
        ("/admin", Verdict.LET_IN),
        ("/public/x", Verdict.LET_IN),
        ("/public/%2e%2e/admin/x", Verdict.AMBIGUOUS),
        ("/public/%252e%252e/admin/x", Verdict.AMBIGUOUS),
        ("/public/..;/admin/x", Verdict.AMBIGUOUS),
        ("/public/.;x=y/admin", Verdict.AMBIGUOUS),
        ("/public/;/admin", Verdict.AMBIGUOUS),
        ("/public/\uff0e\uff0e/admin", Verdict.AMBIGUOUS),
        ("/public\uff0f../admin", Verdict.AMBIGUOUS),
        ("/public/%5c..%5cadmin", Verdict.AMBIGUOUS),
        ("/public/x%00", Verdict.AMBIGUOUS),
        ("/public/x%0d%0aSet-Cookie:", Verdict.AMBIGUOUS),
        ("/public/x\x7f", Verdict.AMBIGUOUS),
        ("/a b/x", Verdict.LET_IN),
        ("/caf\u00e9/\u200cx", Verdict.LET_IN),
        ("/100%", Verdict.LET_IN),
        ("", Verdict.AMBIGUOUS),
        ("*", Verdict.AMBIGUOUS),
        ("public/", Verdict.AMBIGUOUS),
        ("http://evil.example/public/", Verdict.AMBIGUOUS),
    ],
)
def test_a_path_is_judged_in_every_reading_of_it(path: str, verdict: Verdict) -> None:
    assert Policy(RULES).decide("GET", path, STAFF).verdict is verdict


def test_without_a_rule_any_signed_in_person_is_let_in_and_nobody_else() -> None:
    assert Policy(()).decide("GET", "/x", STAFF).verdict is Verdict.LET_IN
    assert Policy(()).decide("GET", "/x", None).verdict is Verdict.SIGN_IN


def test_the_first_rule_decides() -> None:
    rules = (Rule("/a/b/", allow="anyone"), Rule("/a/"))
    assert Policy(rules).decide("GET", "/a/b/c", None).verdict is Verdict.LET_IN
    assert Policy(rules).decide("GET", "/a/c", None).verdict is Verdict.SIGN_IN


@pytest.mark.parametrize("method", ["get", "Get", "GET"])
def test_a_method_is_compared_as_frameworks_fold_it(method: str) -> None:
    rules = (Rule("/a/", frozenset({"GET"}), "members", groups=frozenset({"admins"})), Rule("/", allow="anyone"))
    assert Policy(rules).decide(method, "/a/x", None).verdict is Verdict.SIGN_IN


def test_a_head_gets_in_only_where_a_get_does() -> None:
    """Frameworks answer HEAD by running the handler of GET; a rule for GET alone would leave it to a wider one."""
    rules = (Rule("/a/", frozenset({"GET"}), "members", groups=frozenset({"admins"})), Rule("/", allow="anyone"))
    assert Policy(rules).decide("HEAD", "/a/x", STAFF).verdict is Verdict.FORBID
    assert Policy(rules).decide("POST", "/a/x", STAFF).verdict is Verdict.LET_IN
    public = (Rule("/a/", frozenset({"GET"}), "anyone"),)
    assert Policy(public).decide("HEAD", "/a/x", None).verdict is Verdict.SIGN_IN  # a rule allows who it names


def test_a_slash_at_the_end_leads_past_no_exact_rule() -> None:
    rules = (Rule("/secret", allow="members", groups=frozenset({"admins"})), Rule("/", allow="anyone"))
    for path in ("/secret", "/secret/", "/secret;x/", "/%73ecret/"):
        assert Policy(rules).decide("GET", path, STAFF).verdict is Verdict.FORBID
    assert Policy(rules).decide("GET", "/secret/x", STAFF).verdict is Verdict.LET_IN
    public = (Rule("/open", allow="anyone"),)
    assert Policy(public).decide("GET", "/open/", None).verdict is Verdict.SIGN_IN


def test_a_domain_that_only_looks_like_the_one_admitted_is_another() -> None:
    rules = (Rule("/a/", allow="members", email_domains=frozenset({"kelvin.example"})),)
    assert Policy(rules).decide("GET", "/a/x", Someone("x@KELVIN.example")).verdict is Verdict.LET_IN
    assert Policy(rules).decide("GET", "/a/x", Someone("x@\u212aelvin.example")).verdict is Verdict.FORBID
    assert Policy(rules).decide("GET", "/a/x", Someone("x@kelvin.example@evil.example")).verdict is Verdict.FORBID


# What an application, a framework or a server between us and it may make of a path.
READERS: tuple[Callable[[str], str], ...] = (
    unquote,
    lambda path: unquote(unquote(path)),
    posixpath.normpath,
    lambda path: posixpath.normpath(unquote(path)),
    lambda path: posixpath.normpath(path.replace("\\", "/")),
    lambda path: re.sub(r"/+", "/", path),
    lambda path: re.sub(r";[^/]*", "", path),
    lambda path: posixpath.normpath(re.sub(r";[^/]*", "", path)),
    lambda path: posixpath.normpath(re.sub(r";[^/]*", "", unquote(path))),
    lambda path: unicodedata.normalize("NFKC", path),
    lambda path: posixpath.normpath(unicodedata.normalize("NFKC", unquote(path))),
    lambda path: re.sub(r"[\x00-\x1f\x7f]", "", unquote(path)),
    lambda path: re.split(r"\x00", unquote(path))[0],
)

segments = st.sampled_from(
    ["a", "b", "admin", "public", ".", "..", "", " ", "%2e", "%2E%2e", "%252e", "..;", ";x", "a;x=1", "a%2fb", "%5c",
     "\\", "%00", "\x01", "\uff41", "\uff0e\uff0e", "\uff0f", "%61", "%2561", "%", "%zz", "%ff", "é", "e\u0301", "A"]
)  # fmt: skip
paths = st.lists(segments, max_size=6).map(lambda parts: "/" + "/".join(parts)) | st.text(max_size=20).map(
    lambda text: "/" + text
)
rule_paths = st.lists(st.sampled_from(["a", "b", "admin", "public", "é"]), max_size=3).map(
    lambda parts: "/" + "/".join(parts)
)
rules = st.lists(
    st.builds(
        Rule,
        path=st.tuples(rule_paths, st.sampled_from(["", "/"])).map(lambda pair: pair[0].rstrip("/") + pair[1] or "/"),
        methods=st.sampled_from([frozenset(), frozenset({"GET"}), frozenset({"POST"})]),
        allow=st.sampled_from(["anyone", "signed-in", "members"]),
        groups=st.sampled_from([frozenset({"admins"}), frozenset({"staff"})]),
    ),
    max_size=5,
)
people = st.sampled_from([None, STAFF, Someone("carol@example.com", ("admins",))])


@settings(max_examples=3000, deadline=None)
@given(path=paths, rules=rules, person=people, method=st.sampled_from(["GET", "POST", "get", "HEAD"]))
def test_no_spelling_lets_in_what_a_rule_refuses_when_spelled_out(
    path: str, rules: list[Rule], person: Someone | None, method: str
) -> None:
    if Policy(rules).decide(method, path, person).verdict is not Verdict.LET_IN:
        return
    for read in READERS:
        plain = read(path)
        strictest = Policy(rules).decide("GET" if method == "HEAD" else method, plain, person)
        assert strictest.verdict in (Verdict.LET_IN, Verdict.AMBIGUOUS), (plain, strictest)
        if strictest.verdict is Verdict.AMBIGUOUS:
            assert not plain.startswith("/") or "\ufffd" in plain, plain


@settings(max_examples=2000, deadline=None)
@given(path=paths)
def test_a_reading_of_a_reading_is_a_reading(path: str) -> None:
    found = readings(path)
    for reading in found:
        assert set(readings(reading)) <= set(found)


@settings(max_examples=500, deadline=None)
@given(path=st.text(st.characters(categories=("L", "N")), min_size=1, max_size=20))
def test_letters_and_digits_of_any_script_are_never_ambiguous(path: str) -> None:
    assert readings(f"/{path}")[0] == f"/{path}"
    assert f"/{path}" in readings(f"/{quote(path)}")


def escaped(text: str, rounds: int) -> str:
    """Return *text* percent-encoded so often."""
    return text if rounds == 0 else escaped(quote(text, safe=""), rounds - 1)


def of_many_readings(length: int) -> str:
    """Return a path in which something else comes to light in each round of decoding."""
    parts = [f"a{escaped(';', rounds)}x/b{escaped(chr(0xFF21), rounds)}" for rounds in range(1, 7)]
    filling = "c" + escaped("é", 6)
    head = "/" + "/".join(parts) + "/"
    return head + filling * ((length - len(head)) // len(filling)) + "/t" + escaped("/", 4)


ATTACKS = {
    "many readings": of_many_readings(1_000),
    "many long readings": of_many_readings(16_000),
    "two long readings": "/" + "%2541" * 12_000,
    "percent signs": "/" + "%" * 60_000,
    "many rounds": "/%" + "25" * 30_000,
}


@pytest.mark.parametrize("path", ATTACKS.values(), ids=ATTACKS)
def test_attack_a_path_of_many_readings_keeps_a_worker_busy(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[str] = []

    def unquote_and_note(text: str, errors: str) -> str:
        decoded.append(text)
        return unquote(text, errors=errors)

    monkeypatch.setattr(counted, "unquote", unquote_and_note)
    assert Policy(RULES).decide("GET", path, STAFF).verdict is Verdict.AMBIGUOUS
    assert len(decoded) <= MAX_READINGS
    assert sum(map(len, decoded)) <= MAX_WORK
    assert sum(text.count("%") for text in decoded) <= 4_096


@pytest.mark.parametrize("marks", ["\u0301\u0323", "\u0f73", "\uff9e\u0f73"])
def test_attack_combining_marks_in_sequence_take_quadratic_time_to_sort(marks: str) -> None:
    assert readings("/a" + marks * 10_000) == ()  # 60,000 of them took 13 seconds
    assert readings("/a" + "\u0301" * MAX_MARKS)
    assert readings("/" + "e\u0301\u0323" * 1_000)


@pytest.mark.parametrize(
    "path",
    [
        "/" + "a" * 65_000 + "/",
        "/" + "file-2026.txt/" * 4_000,
        "/files/" + "long name/" * 3_000 + "100%/x",
        "/api/projects/" + "group%2fsub%2f" * 60 + "raw",
        "/" + "курсы/日本/" * 3_000,
        "/a;v=1/b;w=2/" + "page/" * 500,
        "/files/" + "R%26D/" * 100,
    ],
)
def test_a_long_path_with_few_readings_meets_its_rule(path: str) -> None:
    assert Policy(RULES).decide("GET", path, STAFF).verdict is Verdict.LET_IN
