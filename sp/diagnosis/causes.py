"""Name the cause of a rejection in one line, as specific as the evidence allows.

The activity log stores at most 240 bytes of the line, so the cause comes first and the remedy after it.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sp.diagnosis import arrival_causes, clock_causes, token_causes
from sp.signin.evidence import Evidence

Claims = Mapping[str, Any]
Cause = Callable[[Evidence, Claims], str]

CAUSES: dict[str, Cause] = {
    "token_missing": arrival_causes.token_missing,
    "token_malformed": token_causes.malformed,
    "algorithm_not_allowed": token_causes.algorithm,
    "signature_invalid": token_causes.signature,
    "claim_missing": token_causes.claim_missing,
    "claim_invalid": token_causes.claim_invalid,
    "token_expired": clock_causes.expired,
    "token_not_yet_valid": clock_causes.not_yet_valid,
    "token_too_old": clock_causes.too_old,
    "issuer_mismatch": token_causes.issuer,
    "audience_mismatch": token_causes.audience,
    "nonce_mismatch": arrival_causes.nonce,
    "unsolicited": arrival_causes.unsolicited,
    "token_replayed": clock_causes.replayed,
    "email_not_allowed": token_causes.email_domain,
    "provider_unknown": arrival_causes.provider_unknown,
}


def cause_of(evidence: Evidence, claims: Claims) -> str:
    """Return why the attempt was rejected. *claims* are unverified, and empty if they cannot be read."""
    find = CAUSES.get(evidence.rejection.code)
    cause = find(evidence, claims) if find else ""
    return cause or evidence.rejection.detail
