"""Remember in a signed cookie which identity provider the person chose in this browser.

The cookie cannot sign anyone in. It only skips the page on which people choose a provider, and only while the named
provider can still be chosen there.
"""

from __future__ import annotations

from collections.abc import Sequence

from itsdangerous import BadData
from werkzeug.wrappers import Response

from shared.cookies import clear_cookie, full_name, set_cookie
from shared.known_browsers import MAX_AGE
from shared.timed_texts import timed_serializer
from sp.sessions.cookies import PROVIDER_NAME, read_session_cookie

MAX_BYTES = 200  # of the cookie's value; our values have at most 113


class RememberedProviders:
    """Reads and writes the cookie of one gateway."""

    def __init__(self, secret_keys: Sequence[str], *, https: bool) -> None:
        self._serializer = timed_serializer(secret_keys, "lychgate provider choice")
        self._https = https
        self._name = full_name(PROVIDER_NAME, https)

    def read(self, cookie_header: str) -> str:
        """Return the name of the provider that was chosen in this browser; empty if there is none, or it is forged."""
        value = read_session_cookie(cookie_header, self._name)
        if value is None or len(value) > MAX_BYTES:
            return ""
        try:
            name = self._serializer.loads(value, max_age=MAX_AGE)
        except BadData:
            return ""
        return name if isinstance(name, str) else ""

    def remember(self, response: Response, provider: str) -> None:
        """Store the name of the *provider* in the cookie."""
        value = str(self._serializer.dumps(provider))
        set_cookie(response, self._name, value, https=self._https, max_age=MAX_AGE)

    def forget(self, response: Response) -> None:
        """Delete the cookie."""
        clear_cookie(response, self._name, https=self._https)
