"""Define a preset for each product, as its documentation requires. You can add a preset for your own product.

A preset has the same names as the services file. It only sets defaults: an entry of the services file may change a
value, except where the product accepts only one value. docs/integrating.md says what to enter at the product.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# The requirements of each product. Some names:
# - `echo`: request parameters that are returned with the token.
# - `nonce`: the nonce of the request becomes a claim.
# - `session_claims`: the token has sid, auth_time and amr (OpenID Connect Core 2, Back-Channel Logout 2.4).
# - `addressed`: the token always has iss, aud and nbf. By default, iss is our own URL, and aud is the service's site.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "ispring": {
        "untyped_logout": True,  # its sign-out requests have no type
        "claims": {
            "email": "email",
            "given_name": "given_name",
            "family_name": "family_name",
            "preferred_username": "username",
        },
    },
    "zendesk": {  # rejects an iat older than three minutes, and expects the token by POST
        "delivery": "form",
        "echo": {"return_to": "return_to"},
        "claims": {"email": "email", "name": "name"},
    },
    "freshworks": {  # OAuth's implicit flow: state is returned, nonce is in the token
        "algorithm": "RS256",
        "token_parameter": "id_token",
        "echo": {"state": "state"},
        "nonce": True,
        "claims": {
            "sub": "id",
            "email": "email",
            "given_name": "given_name",
            "family_name": "family_name",
        },
    },
    "loginradius": {
        "token_parameter": "jwttoken",
        "claims": {"sub": "id", "id": "id", "email": "email"},
    },
    "metabase": {
        "echo": {"return_to": "return_to"},
        "claims": {
            "email": "email",
            "first_name": "given_name",
            "last_name": "family_name",
            "groups": "groups",
        },
    },
    "discourse": {  # gets a signed query, not a JWT (discourse.py); the claims are its attributes
        "signed_query": True,
        "token_parameter": "sso",
        "claims": {"external_id": "id", "email": "email", "name": "name"},
    },
    "lychgate": {
        "echo": {"return_to": "return_to"},
        "nonce": True,
        "session_claims": True,
        "addressed": True,
        "claims": {
            "sub": "id",
            "email": "email",
            "given_name": "given_name",
            "family_name": "family_name",
            "preferred_username": "username",
            "groups": "groups",
        },
    },
}

# The algorithms that a product supports, if not all of ours.
ALGORITHMS_OF: Mapping[str, tuple[str, ...]] = {
    "zendesk": ("HS256",),
    "freshworks": ("RS256",),
    "metabase": ("HS256",),
    "discourse": ("HS256",),  # it uses HMAC-SHA256, which decides the length of the secret
}
