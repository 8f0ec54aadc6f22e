"""Make a token without a signature, as an attacker does. The gateway never accepts it."""

from __future__ import annotations

import json
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from typing import Any


def unsigned(claims: Mapping[str, Any], typ: str = "JWT") -> str:
    """Return *claims* as a token with `alg` none (RFC 7519, section 6)."""
    parts = ({"alg": "none", "typ": typ}, claims)
    text = ".".join(urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode() for part in parts)
    return f"{text}."
