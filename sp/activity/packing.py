"""Compress a trace into few bytes, and decompress it.

A trace is compact JSON, compressed by deflate with a dictionary of common texts. A sign-in with ten claims takes about
320 bytes. The first byte names the dictionary, so a later version can have a better one and still read stored traces. A
trace that exceeds the limit is clipped in steps, the least important part first, and marked as clipped.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sp.activity.cleaning import clean
from sp.activity.trace import FAILED, OUTCOMES, PASSED, AccountDecision, CheckResult, Facts

MOST_UNPACKED = 65_536  # bytes; no trace is larger
LEVEL = 1  # the fastest compression, because a sign-in waits for it; the dictionary does most of the work
# zlib clears about 270 KB of memory for its defaults (15, 8), and a trace with the dictionary needs 4 KiB.
WINDOW, MEMORY = 12, 5
DICTIONARIES = {
    1: (
        b'synchronise changed: ["groups","department","attributes"]createdlinkedrefusedauto_createunverified'
        b'"scope":"preferred_username":"family_name":"given_name":"name":"groups":["staff"],"locale":"department":'
        b'"email_verified":true,"auth_time":"amr":["pwd"],"acr":"azp":"sid":"nonce":"[redacted]"'
        b"sp_formsp_landedsp_devicesp_pending___Host-sp_session"
        b'["form","p","three parts of base64url, and a header in JSON"],["algorithm","f","RS256, as configured"],'
        b'["strict_header","p",""],["strict_foreign","p",""],["strict_audience","p",""],["strict_lifetime","p",""],'
        b'["strict_email","p",""],["strict_text","p",""],["required","f","a required claim is missing"],'
        b"the token has no nonce, and none is required, not in the token, none expected, as expected: expected: "
        b'"d":"form","h":{"typ":"JWT","alg":"RS256","kid":"","d":"query","h":{"typ":"JWT","alg":"HS256"},'
        b'"c":{"iss":"https://","aud":"https://","sub":"","jti":"","iat":1795309803,"nbf":1795309803,'
        b'"exp":1795309863,"email":"@example.com"},"k":"","n":["sp_pending_","sp_session"],'
        b'"x":[["signature","p","HS256 with the key "],["type","p","JWT"],["required","p","iat, jti, exp"],'
        b'["token_id","p","44 characters"],["issuer","s","not in the token, none expected"],'
        b'["audience","s","not in the token, none expected"],["not_before","p","iat 1 s ago; clock_skew 30 s"],'
        b'["expiry","p","59 s left; clock_skew 30 s"],["age","p","1 s; at most 300 s"],["nonce","s",""],'
        b'["profile","p","alice@example.com; fields filled: id, email, given_name, family_name, groups"]],'
        b'"a":["found","by the ID at the provider",1,[]],"s":"/"}'
    )
}
NEWEST = max(DICTIONARIES)
_encode = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False).encode
_LETTERS = {outcome: outcome[0] for outcome in OUTCOMES}
_OUTCOMES = {letter: outcome for outcome, letter in _LETTERS.items()}


def pack(facts: Facts, limit: int) -> bytes | None:
    """Return *facts* in at most *limit* bytes, clipped if necessary, or None if even the shortest form is too long."""
    for shorten in _STEPS:
        facts = shorten(facts)
        text = _encode(_short(facts)).encode("utf-8", "replace")
        if len(text) <= MOST_UNPACKED and len(packed := _deflated(text)) <= limit:
            return packed
    return None


def unpack(packed: bytes | None) -> Facts:
    """Return the facts in *packed*; empty facts for None, and for data of a later version."""
    if not packed or packed[0] not in DICTIONARIES:
        return Facts()
    inflate = zlib.decompressobj(-zlib.MAX_WBITS, zdict=DICTIONARIES[packed[0]])
    found = json.loads(inflate.decompress(packed[1:], MOST_UNPACKED))
    account = found.get("a")
    return Facts(
        delivery=found.get("d", "none"),
        header=found.get("h"),
        claims=found.get("c"),
        key=found.get("k"),
        cookies=tuple(found.get("n", ())),
        checks=tuple(CheckResult(name, _OUTCOMES[letter], detail) for name, letter, detail in found.get("x", ())),
        account=AccountDecision(account[0], account[1], account[2], tuple(account[3])) if account else None,
        sent_to=found.get("s"),
        clipped=found.get("t", False),
        request_id=found.get("r"),
        checked_at=found.get("q"),
    )


def _deflated(text: bytes) -> bytes:
    deflate = zlib.compressobj(LEVEL, zlib.DEFLATED, -WINDOW, MEMORY, zdict=DICTIONARIES[NEWEST])
    return bytes((NEWEST,)) + deflate.compress(text) + deflate.flush()


def _short(facts: Facts) -> dict[str, Any]:
    account = facts.account
    members = {
        "d": facts.delivery if facts.delivery != "none" else None,
        "h": facts.header,
        "c": facts.claims,
        "k": facts.key,
        "n": facts.cookies,
        "x": [(check.name, _LETTERS[check.outcome], check.detail) for check in facts.checks],
        "a": (account.decision, account.why, account.id, account.changed) if account else None,
        "s": facts.sent_to,
        "t": facts.clipped or None,
        "r": facts.request_id,
        "q": facts.checked_at,
    }
    return {name: value for name, value in members.items() if value is not None and value != () and value != []}


def _as_it_is(facts: Facts) -> Facts:
    return facts


def _shorter_claims(facts: Facts) -> Facts:
    return _clipped(facts, text=60, items=15)


def _checks_without_values(facts: Facts) -> Facts:
    checks = tuple(check if check.outcome == FAILED else check._replace(detail="") for check in facts.checks)
    return replace(facts, checks=checks, clipped=True)


def _short_claims(facts: Facts) -> Facts:
    return _clipped(facts, text=24, items=10)


def _failed_checks(facts: Facts) -> Facts:
    first = [check._replace(detail=check.detail[:80]) for check in facts.checks if check.outcome == FAILED][:1]
    others = [check for check in facts.checks if check.outcome == PASSED][:6]
    return replace(facts, checks=(*others, *first), cookies=facts.cookies[:4], clipped=True)


def _names_of_claims(facts: Facts) -> Facts:
    return replace(_clipped(facts, text=2, items=8), header=None, checks=facts.checks[-1:], cookies=())


def _bare(facts: Facts) -> Facts:
    """Keep only delivery, key and request ID, which leads to the logs, and mark the trace as clipped."""
    return Facts(facts.delivery, key=facts.key, clipped=True, request_id=facts.request_id)


def _without_request_id(facts: Facts) -> Facts:
    return replace(facts, request_id=None)


def _clipped(facts: Facts, *, text: int, items: int) -> Facts:
    claims = clean(facts.claims, text=text, items=items)[0] if facts.claims is not None else None
    header = clean(facts.header, text=text, items=items)[0] if facts.header is not None else None
    return replace(facts, claims=claims, header=header, clipped=True)


_STEPS: tuple[Callable[[Facts], Facts], ...] = (
    _as_it_is,
    _shorter_claims,
    _checks_without_values,
    _short_claims,
    _failed_checks,
    _names_of_claims,
    _bare,
    _without_request_id,
)
