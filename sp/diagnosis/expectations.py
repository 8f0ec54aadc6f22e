"""Find the issuer and the audience of a valid token if its provider's settings do not say what to expect.

Without an expected value, the gateway accepts every token that was signed with the provider's key, from any issuer and
for any site. A trial sign-in shows the right values, so an administrator can set them from its report.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from shared.claims import Claims
from sp.diagnosis.inspector import Finding
from sp.providers.provider import Provider
from sp.providers.setting_reader import Expectation

CLAIM = {"issuer": "iss", "audience": "aud"}
WHY = {
    "issuer": "so that tokens of other sites are rejected",
    "audience": "so that tokens for other services are rejected",
}


def not_compared(claims: Claims, provider: Provider) -> dict[str, str]:
    """Return the values of a valid token that the settings could expect but do not, by the name of the setting."""
    only = claims.audience[0] if len(claims.audience) == 1 else None
    values = {"issuer": claims.issuer, "audience": only}
    return {name: value for name, value in values.items() if value and _could_be_compared(provider, name)}


def advise(finding: Finding, values: Mapping[str, str]) -> Finding:
    """Return *finding*, turned into advice if it is about one of *values*, which no setting expects yet."""
    value = values.get(finding.check)
    if value is None:
        return finding
    return replace(
        finding,
        outcome="advice",
        explanation=f"{CLAIM[finding.check]} is required, but any value is accepted; this one is {value[:100]}",
        remedy=f"Accept only this {finding.check}, {WHY[finding.check]}.",
    )


def reviewed(finding: Finding, values: Mapping[str, str], provider: Provider) -> Finding:
    """Return *finding*. If it advises to expect one of *values*, bring it up to date with the present settings.

    An administrator can follow the advice on the report page. Afterwards the page must show that it was followed.
    """
    value = values.get(finding.check)
    if finding.outcome != "advice" or value is None or _could_be_compared(provider, finding.check):
        return finding
    wanted: Expectation = getattr(provider, finding.check)
    if not (wanted.match and wanted.expected):
        return replace(finding, explanation="this claim is no longer required", remedy="")
    if wanted.expected != value:
        changed = f"the settings have changed since this test: they expect {wanted.expected[:100]}"
        return replace(finding, explanation=changed, remedy="Test again.")
    return replace(finding, outcome="passed", explanation=f"Only {value[:100]} is accepted now.", remedy="")


def expecting(provider: Provider, values: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings of *provider*, with *values* as the expected values where none was set."""
    settings = provider.as_settings()
    for name in CLAIM:
        if name in values and _could_be_compared(provider, name):
            settings[name] |= {"expected": values[name], "match": True}
    return settings


def _could_be_compared(provider: Provider, name: str) -> bool:
    wanted: Expectation = getattr(provider, name)
    required = wanted.required or CLAIM[name] in provider.required_claims
    return required and not (wanted.match and wanted.expected)
