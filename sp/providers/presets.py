"""Define the presets: defaults for named products, so that their published samples work unchanged.

A setting of the provider itself is used first. If it is missing, the preset's value is used. If the preset has none,
the default of `sp.providers.provider.Provider` is used.

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
    # Zendesk: tokens have no exp, are valid for three minutes, are posted from a form, and have the name in one claim.
    "zendesk": {
        "required_claims": ["iat", "jti", "email", "name"],
        "max_age": 180,
        "deliveries": ["form"],
        "mapping": {"id": ["external_id", "email"], "email": "email", "name": "name", "groups": "organization"},
    },
    # LoginRadius: the account with this id gets an access token. If there is no such account, none is created.
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
