"""One documented rule of a service provider, and the rules that several products have.

If a sign-in obeys the rule, a check returns an empty text. Otherwise the check returns what it found instead. This text
never shows a token or a key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lab.services.arrival import Arrival, Unreadable
from lab.services.memory import Attempt, NoRoom

Check = Callable[[Arrival], str]
FOR_EVER = float("inf")
LONGEST_SHOWN = 80  # characters of a claim
LATEST = 10**15  # seconds since 1970; greater numbers are not times, and could overflow
RFC = "RFC 7519, section"
CLOCKS = 60  # seconds that the clocks of two machines may differ, as in the published logout.php


@dataclass(frozen=True)
class Rule:
    """One rule: `name` for programs, `says` in plain English, and its `source`."""

    name: str
    says: str
    source: str
    check: Check


def judge(rules: Sequence[Rule], arrival: Arrival) -> Attempt:
    """Return the result of a sign-in: the first rule that it breaks, if any. Rules that spend a token come last."""
    for rule in rules:
        try:
            found = rule.check(arrival)
        except Unreadable as error:
            found = str(error)
        except NoRoom:
            found = "the emulator cannot remember one more token; POST /__lab__/reset makes room"
        if found:
            claims = arrival.readable_claims()
            return Attempt(False, rule.name, claims, found, arrival.delivery, arrival.now)
    return Attempt(True, "", arrival.claims, "", arrival.delivery, arrival.now)


def delivered_by(deliveries: Sequence[str], parameter: str, source: str) -> tuple[Rule, Rule]:
    """Return the rules about the place of the token."""
    ways = {"query": "by GET, in the query", "form": "by POST, in a form"}
    return (
        Rule(
            "delivery",
            f"The token arrives {' or '.join(ways[delivery] for delivery in deliveries)}.",
            source,
            lambda arrival: "" if arrival.delivery in deliveries else f"it arrived {ways[arrival.delivery]}",
        ),
        Rule("parameter", f"The token is in the parameter {parameter}, once.", source, _is_there_once),
    )


def is_jwt(source: str) -> Rule:
    """Return the rule that the token can be read."""
    return Rule("format", "The token has a header, a payload and a signature, divided by dots.", source, _readable)


def typed(source: str) -> Rule:
    """Return the rule about `typ`."""
    return Rule("type", "The header says typ: JWT.", source, lambda arrival: _header(arrival, "typ", "JWT"))


def signed_with(algorithms: Sequence[str], source: str) -> tuple[Rule, Rule]:
    """Return the rules about the algorithm and the signature."""
    which = algorithms[0] if len(algorithms) == 1 else "the one algorithm that was set for the key"
    return (
        Rule("algorithm", f"The token is signed with {which}.", source, _algorithm),
        Rule("signature", "The signature fits the key that both sides know.", source, _signature),
    )


def time_claim(name: str, says: str, source: str, *, required: bool = True, check: Check | None = None) -> Rule:
    """Return the rule that a claim is a time in seconds, and that *check* accepts it."""

    def checked(arrival: Arrival) -> str:
        if name not in arrival.claims and not required:
            return ""
        return _seconds(arrival, name) or (check(arrival) if check else "")

    return Rule(name, says, source, checked)


def not_too_early() -> Rule:
    """Return the rule about nbf in RFC 7519, for a product whose documents have none."""
    says = f"nbf, if it is there, is at most {CLOCKS} seconds ahead."
    return time_claim("nbf", says, f"{RFC} 4.1.5", required=False, check=not_later_than(CLOCKS, "nbf"))


def text_claim(name: str, says: str, source: str, *, rule: str = "") -> Rule:
    """Return the rule that a claim is a non-empty text."""
    return Rule(rule or name, says, source, lambda arrival: _text(arrival, name))


def single_use(source: str, until: Callable[[Arrival], float] = lambda _arrival: FOR_EVER) -> Rule:
    """Return the rule that a jti is accepted once. It spends the token, so it must be the last rule."""

    def spend(arrival: Arrival) -> str:
        token_id = repr(arrival.claims["jti"])  # 1 and "1" are different
        spent = arrival.memory.spend(token_id, until(arrival), arrival.now)
        return "" if spent else "a token with this jti was accepted before"

    return Rule("single-use", "Each token is accepted once: its jti is new.", source, spend)


def not_expired(arrival: Arrival) -> str:
    """Check exp, without a clock skew."""
    passed = arrival.now - arrival.claims["exp"]
    return f"it was {ago(passed)}" if passed >= 0 else ""


def not_later_than(seconds: int, name: str = "iat") -> Check:
    """Return the check that a time is at most *seconds* in the future."""

    def check(arrival: Arrival) -> str:
        ahead = arrival.claims[name] - arrival.now
        return f"it is {length(ahead)} ahead" if ahead > seconds else ""

    return check


def not_older_than(seconds: int) -> Check:
    """Return the check that iat is at most *seconds* old."""

    def check(arrival: Arrival) -> str:
        age = arrival.now - arrival.claims["iat"]
        return f"it was {ago(age)}" if age > seconds else ""

    return check


def both(*checks: Check) -> Check:
    """Return a check that applies all of the given checks."""
    return lambda arrival: next(filter(None, (check(arrival) for check in checks)), "")


def shown(value: Any) -> str:
    """Return a claim's value for display: shortened, and in quotes if it is a text."""
    text = repr(value)
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}…"


def ago(seconds: float) -> str:
    """Return the text for a time in the past."""
    return f"{length(seconds)} ago" if seconds >= 1 else "just now"


def length(seconds: float) -> str:
    """Return the text for a duration in seconds."""
    return f"{int(seconds):,} seconds"


def _is_there_once(arrival: Arrival) -> str:
    if not arrival.token:
        return "it is missing"
    return f"it is there {len(arrival.values)} times" if len(arrival.values) > 1 else ""


def _readable(arrival: Arrival) -> str:
    return "" if arrival.opened else "it cannot be read"


def _header(arrival: Arrival, name: str, value: str) -> str:
    found = arrival.opened.header.get(name)
    return "" if found == value else f"{name} is {shown(found) if found is not None else 'missing'}"


def _algorithm(arrival: Arrival) -> str:
    return _header(arrival, "alg", arrival.verifier.algorithm)


def _signature(arrival: Arrival) -> str:
    opened = arrival.opened
    return "" if arrival.verifier.verifies(opened.signed, opened.signature) else "it does not"


def _seconds(arrival: Arrival, name: str) -> str:
    if name not in arrival.claims:
        return "it is missing"
    value = arrival.claims[name]
    if isinstance(value, bool) or not isinstance(value, int | float) or abs(value) > LATEST:
        return f"it is {shown(value)}, which is not a number of seconds"
    return ""


def _text(arrival: Arrival, name: str) -> str:
    if name not in arrival.claims:
        return "it is missing"
    value = arrival.claims[name]
    if not isinstance(value, str):
        return f"it is {shown(value)}, which is not a text"
    return "" if value.strip() else "it is empty"
