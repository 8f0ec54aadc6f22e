"""Compare two attempts, and list the differences, the most significant first.

Values that differ between any two tokens (jti, iat, exp, the nonce) are not listed. Instead, the ages of the tokens at
their arrival and their lifetimes are compared. A difference that explains the code of the rejection comes first. Then
come differences in the delivery, the header, the key, the issuer, the recipient, the names and types of claims, the
times, new claims, and the values of claims. Differences in the person, the cookies, the account, the URL and the
provider come last.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from shared.claims import LATEST_TIME
from sp.activity.cleaning import clip
from sp.activity.trace import Facts, Trace
from sp.sessions.cookie_names import PENDING_PREFIX

ALWAYS_DIFFERENT = ("jti", "iat", "exp", "nbf", "nonce", "auth_time", "sid", "return_to")
OF_THE_PERSON = ("email", "sub", "name", "given_name", "family_name", "preferred_username", "groups", "login")
TIMES = ("iat", "exp", "nbf")
SAME_AGE = 10  # seconds: usual time until a token arrives
MAX_SHOWN = 120  # characters of a value
NOTHING = "(none)"

# From the most significant to the least.
RANKS = ("delivery", "alg", "typ", "header", "key", "iss", "aud", "name", "type", "clock", "lifetime", "new", "value")
RANKS_AT_THE_END = ("person", "cookies", "account", "sent_to", "provider")
ABOUT = {
    "delivery_not_allowed": ("delivery",),
    "token_missing": ("delivery",),
    "algorithm_not_allowed": ("alg",),
    "token_type_wrong": ("typ", "new"),
    "token_malformed": ("header", "type"),
    "signature_invalid": ("key",),
    "issuer_mismatch": ("iss",),
    "audience_mismatch": ("aud",),
    "claim_missing": ("name",),
    "claim_invalid": ("type", "lifetime", "value"),
    "token_expired": ("clock", "lifetime"),
    "token_not_yet_valid": ("clock",),
    "token_too_old": ("clock",),
    "nonce_mismatch": ("name", "cookies"),
    "unsolicited": ("cookies", "name"),
    "email_not_allowed": ("value", "person"),
    "user_unknown": ("value", "person", "account"),
    "email_conflict": ("value", "person", "account"),
}


@dataclass(frozen=True)
class Difference:
    """One difference. `what` names it, and `kind` decides its rank.

    `before` is the value of the good attempt, and `after` is the value of the other attempt.
    """

    what: str
    kind: str
    before: str
    after: str
    explanation: str = ""


def differences(good: Trace, other: Trace) -> list[Difference]:
    """Return the differences of *other* from the *good* attempt, the most significant first."""
    found = [*_request(good.facts, other.facts), *_header(good, other), *_claims(good, other), *_times(good, other)]
    ranks = (*ABOUT.get(other.code or "", ()), *RANKS, *RANKS_AT_THE_END)
    return sorted(found, key=lambda difference: ranks.index(difference.kind))


def _request(good: Facts, other: Facts) -> Iterator[Difference]:
    if good.delivery != other.delivery:
        yield Difference("delivery", "delivery", good.delivery, other.delivery)
    before, after = (sum(PENDING_PREFIX in name for name in facts.cookies) for facts in (good, other))
    if bool(before) != bool(after):
        why = "this browser had not started a sign-in" if before else "this browser had started a sign-in itself"
        yield Difference("cookie of a started sign-in", "cookies", str(before), str(after), why)
    was, now = (facts.account.decision if facts.account else NOTHING for facts in (good, other))
    if was != now:
        yield Difference("account", "account", was, now, other.account.why if other.account else "")
    if good.sent_to != other.sent_to:
        yield Difference("sent to", "sent_to", good.sent_to or NOTHING, other.sent_to or NOTHING)


def _header(good: Trace, other: Trace) -> Iterator[Difference]:
    if good.provider != other.provider:
        yield Difference("provider", "provider", good.provider or NOTHING, other.provider or NOTHING)
    before, after = good.facts.header, other.facts.header
    if before is None or after is None:
        return
    for name in dict.fromkeys((*before, *after)):
        if before.get(name) != after.get(name):
            kind = name if name in ("alg", "typ") else "header"
            yield Difference(f"{name} in the header", kind, _shown(before, name), _shown(after, name))
    if good.facts.key != other.facts.key and other.facts.claims is not None:
        why = "" if other.facts.key else "no key that is configured here made the signature"
        yield Difference("key", "key", good.facts.key or NOTHING, other.facts.key or "another one", why)


def _claims(good: Trace, other: Trace) -> Iterator[Difference]:
    before, after = good.facts.claims, other.facts.claims
    if before is None or after is None:
        if before is not None and other.facts.header is not None:
            yield Difference("claims", "type", "an object", "not readable as an object")
        return
    is_same_person = before.get("email") == after.get("email")
    missing, new = [n for n in before if n not in after], [n for n in after if n not in before]
    for name in missing:
        renamed = next((n for n in new if before[name] == after[n] or _similar(name, n)), None)
        why = f"perhaps it is {renamed!r} now" if renamed else "the claim is missing"
        yield Difference(name, "name", _shown(before, name), NOTHING, why)
    yield from (Difference(name, "new", NOTHING, _shown(after, name), "the claim is new") for name in new)
    for name in before:
        if name in after and before[name] != after[name]:
            yield from _value(name, before, after, is_same_person)


def _value(
    name: str, before: Mapping[str, Any], after: Mapping[str, Any], is_same_person: bool
) -> Iterator[Difference]:
    was, now = before[name], after[name]
    shown = (name, _shown(before, name), _shown(after, name))
    if _kind(was) != _kind(now):
        yield Difference(shown[0], "type", *shown[1:], f"it was {_kind(was)}, and is {_kind(now)} now")
    elif name in TIMES and isinstance(was, int | float) and now > was * 100:
        yield Difference(shown[0], "type", *shown[1:], "it was in seconds, and is in a smaller unit now")
    elif name in ("iss", "aud"):
        yield Difference(shown[0], name, *shown[1:])
    elif name not in ALWAYS_DIFFERENT:
        kind = "person" if name in OF_THE_PERSON and not is_same_person else "value"
        yield Difference(shown[0], kind, *shown[1:])


def _times(good: Trace, other: Trace) -> Iterator[Difference]:
    """Compare the tokens' ages on arrival and their lifetimes, but not the times themselves."""
    ages = [_between(trace, "iat", None) for trace in (good, other)]
    if ages[0] is not None and ages[1] is not None and abs(ages[0] - ages[1]) > SAME_AGE:
        way = "the sender's clock is ahead" if ages[1] < ages[0] else "its clock is behind, or the token was stored"
        yield Difference("age on arrival", "clock", f"{ages[0]:.0f} s", f"{ages[1]:.0f} s", way)
    for what, first, second in (("exp - iat", "iat", "exp"), ("nbf - iat", "iat", "nbf")):
        spans = [_between(trace, first, second) for trace in (good, other)]
        if spans[0] is not None and spans[1] is not None and abs(spans[0] - spans[1]) > 1:
            yield Difference(what, "lifetime", f"{spans[0]:.0f} s", f"{spans[1]:.0f} s")


def _between(trace: Trace, first: str, second: str | None) -> float | None:
    """Return the seconds from the claim *first* to the claim *second*, or to the arrival if *second* is None.

    Return None unless both times are given in seconds.
    """
    claims = trace.facts.claims or {}
    begin, end = _seconds(claims.get(first)), trace.checked_at if second is None else _seconds(claims.get(second))
    return None if begin is None or end is None else end - begin


def _seconds(value: Any) -> float | None:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and value < LATEST_TIME else None


def _kind(value: Any) -> str:
    names = {bool: "true or false", str: "text", list: "a list", dict: "an object", type(None): "null"}
    return names.get(type(value), "a number")


def _similar(name: str, other: str) -> bool:
    small, large = sorted((name.lower().strip(), other.lower().strip()), key=len)
    return small in large


def _shown(values: Mapping[str, Any], name: str) -> str:
    if name not in values:
        return NOTHING
    value = values[name]
    return clip(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), MAX_SHOWN)
