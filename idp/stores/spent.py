"""Remember which sign-out tokens were used, for as long as they could be used again.

Browsers keep the URLs of these tokens in the history. If such a URL is opened again, it must not sign out a person who
signed in later.
"""

from __future__ import annotations

import hashlib

from idp.context import context
from idp.logout_tokens import ACCEPTABLE_FOR, SignOut


def is_first_use(sign_out: SignOut) -> bool:
    """Tell whether the token is used for the first time, and record its use. This function MUST be atomic.

    Tokens without a jti cannot be distinguished, so each use counts as the first.
    """
    if sign_out.token_id is None:
        return True
    name = hashlib.sha256(f"{sign_out.service.name} {sign_out.token_id}".encode()).hexdigest()
    return context().throttle.storage.incr(f"sign-out {name}", ACCEPTABLE_FOR) == 1
