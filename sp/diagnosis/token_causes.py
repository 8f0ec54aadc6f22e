"""Name causes that are in the token: its form, its key, its claims.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from shared.claims import LATEST_TIME, find_claim
from shared.errors import SignatureInvalid, TokenMalformed
from shared.keys import KeySet
from shared.tokens import MAX_TOKEN_BYTES, TokenParts, read_object, take_apart, verify_signature
from sp.activity.cleaning import clean_text
from sp.diagnosis import near_misses
from sp.providers.provider import Provider
from sp.providers.setting_reader import Expectation
from sp.signin.evidence import Evidence

MOST_TRIED = 3  # at a sign-out, common errors in the secret are tried for this many providers
UNITS = ((1000, "milliseconds"), (1_000_000, "microseconds"), (1_000_000_000, "nanoseconds"))


def malformed(evidence: Evidence, claims: Mapping[str, Any]) -> str:
    """Say what is wrong with the form of the token or of its payload."""
    detail, tokens = evidence.rejection.detail, [token for _way, token in evidence.arrival.tokens]
    if len(tokens) > 1:
        same = " Both are the same token." if len(set(tokens)) == 1 else ""
        return f"{detail}.{same}"
    if not tokens:
        return detail
    if len(tokens[0]) > MAX_TOKEN_BYTES:
        return _too_long(evidence, tokens[0], claims)
    try:
        parts = take_apart(tokens[0])
    except TokenMalformed:
        return f"{detail}. {near_misses.explain_form(tokens[0])}"
    try:
        read_object(parts.payload, "payload")
    except TokenMalformed:
        return f"{detail}. {near_misses.explain_payload(parts.payload)}"
    return detail


def algorithm(evidence: Evidence, _claims: Mapping[str, Any]) -> str:
    """Say which algorithm the token has, and which provider uses that algorithm."""
    parts = _parts(evidence)
    if parts is None or evidence.provider is None:
        return ""
    named, wanted = _cut(evidence, parts.header["alg"], 20), evidence.provider.algorithm
    if named.lower() == "none":
        return "The token is not signed: its alg is none."
    if named.upper() == wanted:
        return f"The header has alg {named}; it must be written {wanted}."
    if (owner := _owner(evidence, parts)) is not None:
        return f"The token is signed with {named} and the key of the provider {owner}: it was sent to the wrong URL."
    return f"The token is signed with {named}, but this provider is set to {wanted}."


def signature(evidence: Evidence, _claims: Mapping[str, Any]) -> str:
    """Say which mistake the sender made with the key."""
    parts = _parts(evidence)
    if parts is None:
        return ""
    for provider, keys in _tried(evidence):
        hint = near_misses.explain_signature(parts, keys, provider.algorithm)
        if not hint.startswith("The two sides"):
            return hint.replace("It matches", "The signature matches", 1)
    if (owner := _owner(evidence, parts)) is not None:
        return f"The token is signed with the key of the provider {owner}: it was sent to the wrong URL."
    known = ", ".join(key.fingerprint for key in evidence.keys.keys) if evidence.keys else "none"
    return f"The token is signed with another key than the one configured here ({known[:80]}). Copy the key again."


def claim_missing(evidence: Evidence, claims: Mapping[str, Any]) -> str:
    """Say under which other name the token has the claim."""
    name = evidence.rejection.claim or ""
    if not name:
        return ""
    hint = near_misses.misspelt(name, [other for other in claims if other != name])
    if name in claims:
        return f"The claim {name} is there, but it is {'null' if claims[name] is None else 'empty'}. {hint}".strip()
    if hint:
        return f"The claim {name} is missing. {hint}"
    for outer, inner in claims.items():
        if isinstance(inner, Mapping) and name in inner:
            shown, where = _cut(evidence, outer, 40), _cut(evidence, f"{outer}.{name}", 60)
            return f"The claim {name} is missing. It is inside the object {shown!r}: map the field to {where}."
    if (wanted := evidence.rejection.detail).startswith("no claim fills"):
        return f"The claim {name} is missing: {wanted}."
    return f"The claim {name} is missing. {_names(evidence, claims)}"


def claim_invalid(evidence: Evidence, claims: Mapping[str, Any]) -> str:
    """Say what is wrong with the value, and what to send."""
    name, detail = evidence.rejection.claim or "", evidence.rejection.detail
    value = find_claim(claims, name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if name in ("iat", "exp", "nbf"):
        if is_number and value > LATEST_TIME:
            for factor, unit in UNITS:
                if value <= LATEST_TIME * factor:
                    return f"{name} is in {unit}; it must be in seconds: send {value // factor:.0f}."
        if detail == "exp is before iat":
            return "exp is before iat: the token ends before it begins."
        return f"{detail}. {near_misses.explain_claim(name, value)}" if "must" in detail else detail
    if name in ("jti", "iss", "sub", "nonce", "aud") and "must be text" in detail:
        return f"{detail}. {near_misses.explain_claim(name, value)}"
    if isinstance(value, str) and value != value.strip():
        return f"{detail}: it has white space around it."
    return detail


def issuer(evidence: Evidence, claims: Mapping[str, Any]) -> str:
    """Say how iss differs from the expected value."""
    sent = claims.get("iss")
    if not isinstance(sent, str) or evidence.provider is None:
        return ""
    return _mismatch(evidence, "iss", (sent,), evidence.provider.issuer, evidence.provider.audience)


def audience(evidence: Evidence, claims: Mapping[str, Any]) -> str:
    """Say how aud differs from the expected value."""
    sent = claims.get("aud")
    values = tuple(v for v in (sent if isinstance(sent, list) else [sent]) if isinstance(v, str))
    if not values or evidence.provider is None or "recipients" in evidence.rejection.detail:
        return ""
    return _mismatch(evidence, "aud", values, evidence.provider.audience, evidence.provider.issuer)


def email_domain(evidence: Evidence, claims: Mapping[str, Any]) -> str:
    """Name the domain of the e-mail, and the allowed domains."""
    if evidence.provider is None:
        return ""
    emails = [claims.get(name) for name in evidence.provider.mapped_email]
    domain = next((e.rpartition("@")[2] for e in emails if isinstance(e, str) and "@" in e), "")
    shown, allowed = _cut(evidence, domain, 80), ", ".join(evidence.provider.email_domains)[:80]
    return f"The domain {shown} is not in email_domains: {allowed}."


def _mismatch(evidence: Evidence, name: str, values: tuple[str, ...], wanted: Expectation, other: Expectation) -> str:
    expected, sent = wanted.expected, _cut(evidence, " ".join(values), 80)
    how = next((how for value in values if (how := _how_it_differs(value, expected))), "")
    if how:
        return f"{name} differs from the expected value only in {how}: {sent}, expected {expected[:80]}."
    if other.expected and other.expected in values:
        return f"iss and aud are swapped: {name} is {sent}, expected {expected[:80]}."
    for provider in _other_providers(evidence):
        theirs = provider.issuer if name == "iss" else provider.audience
        if theirs.expected and theirs.expected in values:
            return f"{name} is that of the provider {provider.name}: the token was sent to the wrong URL."
    return f"{name} is {sent}, expected {expected[:80]}."


def _how_it_differs(value: str, expected: str) -> str:
    cases = (
        (value.strip() == expected, "white space around it"),
        (value.rstrip("/") == expected.rstrip("/"), "the slash at its end"),
        (value.lower() == expected.lower(), "capitals"),
        (value.partition("://")[2] == expected.partition("://")[2] != "", "http and https"),
        (value == expected.partition("://")[2] or expected == value.partition("://")[2], "the scheme before it"),
        (value.replace("://www.", "://") == expected.replace("://www.", "://"), "www"),
    )
    return next((how for holds, how in cases if holds), "")


def _tried(evidence: Evidence) -> list[tuple[Provider, KeySet]]:
    """Return the provider of the token, with the keys that were tried.

    At a sign-out the provider is not known, so the result is the first MOST_TRIED providers that have keys.
    """
    if evidence.provider is not None:
        return [(evidence.provider, evidence.keys)] if evidence.keys is not None else []
    return [(provider, keys) for provider, keys in evidence.others.values() if keys is not None][:MOST_TRIED]


def _owner(evidence: Evidence, parts: TokenParts) -> str | None:
    """Return the name of another provider whose key made the signature, or None."""
    for name, (provider, keys) in evidence.others.items():
        if keys is None or parts.header["alg"] != provider.algorithm:
            continue
        if evidence.provider is not None and name == evidence.provider.name:
            continue
        try:
            verify_signature(parts, keys, provider.algorithm)
        except SignatureInvalid:
            continue
        return name
    return None


def _other_providers(evidence: Evidence) -> Iterator[Provider]:
    for name, (provider, _keys) in evidence.others.items():
        if evidence.provider is None or name != evidence.provider.name:
            yield provider


def _too_long(evidence: Evidence, token: str, claims: Mapping[str, Any]) -> str:
    sizes = {name: len(json.dumps(value)) for name, value in claims.items() if isinstance(value, str | list | dict)}
    largest = max(sizes, key=lambda name: sizes[name], default="")
    most = f"; the largest claim is {_cut(evidence, largest, 40)}, {sizes[largest]} bytes" if largest else ""
    return f"The token has {len(token)} bytes; at most {MAX_TOKEN_BYTES} are allowed{most}."


def _parts(evidence: Evidence) -> TokenParts | None:
    try:
        return take_apart(evidence.arrival.token or "")
    except TokenMalformed:
        return None


def _names(evidence: Evidence, claims: Mapping[str, Any]) -> str:
    listed = ", ".join(_cut(evidence, name, 30) for name in islice(claims, 8))
    return f"The token has only: {listed}." if listed else "The token has no claims."


def _cut(evidence: Evidence, text: object, size: int) -> str:
    """Return *text* without secrets, cut to *size* characters.

    Secrets are removed before the text is cut, because half of a secret would not be recognised.
    """
    return clean_text(str(text), evidence.secrets)[:size]
