"""Presets: defaults for named products, so that their published samples work unchanged.

The provider's own setting comes first, then the preset's, then the default of `sp.providers.provider.Provider`.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from typing import Any

from sp.routes import ERROR_PAGE

PRESETS = ("ispring", "zendesk", "loginradius", "strict")

_PROFILE = {"email": "email", "family_name": "family_name", "given_name": "given_name", "groups": "groups"}
PRESET_SETTINGS: dict[str, dict[str, Any]] = {
    # The published authentication.php identifies people by e-mail and sends no other claim about them.
    "ispring": {
        "required_claims": ["iat", "jti", "exp", "email"],
        "mapping": {"id": "email", **_PROFILE, "login": ["preferred_username", "sub"]},
    },
    # Zendesk: no exp, three minutes, posted from a form, the whole name in one claim.
    "zendesk": {
        "required_claims": ["iat", "jti", "email", "name"],
        "max_age": 180,
        "deliveries": ["form"],
        "mapping": {"id": ["external_id", "email"], "email": "email", "name": "name", "groups": "organization"},
    },
    # LoginRadius: an existing profile, identified by id, gets an access token. No account is created.
    "loginradius": {
        "token_parameter": "jwttoken",
        "auto_create": False,
        "error_url": ERROR_PAGE,
        "access_token_delivery": "query",
        "mapping": {"id": ["id", "sub"], **_PROFILE, "login": ["preferred_username", "sub"]},
    },
    "strict": {
        "required_claims": ["iss", "aud", "sub", "iat", "exp", "nbf", "jti", "nonce"],
        "issuer": {"expected": "", "match": True, "required": True},
        "audience": {"expected": "", "match": True, "required": True},
        "require_nonce": True,
        "mapping": {"id": "sub", **_PROFILE, "login": ["preferred_username", "sub"]},
    },
}
