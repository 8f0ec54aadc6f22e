"""Remember the sign-ins that a browser has started, each with a nonce and the page to return to.

A pending sign-in binds a token to the browser that asked for it, which stops login CSRF. Each has a separate signed
cookie, so several tabs do not overwrite each other, and a pending sign-in is not stored in the database. The cookie
cannot be confused with a session cookie: its name, content and signature are different.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from itsdangerous import BadSignature
from werkzeug.wrappers import Response

from shared.clock import time_now
from shared.cookies import full_name, set_cookie
from shared.signed_values import SignedValues
from sp.sessions.cookies import HAND_OVER_PREFIX, PENDING_PREFIX

LIFETIME = 3600  # seconds that a person may take at the identity provider's form
MAX_PENDING = 5  # per browser; a further sign-in deletes the oldest
MAX_COOKIE_BYTES = 5000  # of all pending cookies together: servers reject requests with larger headers
TRIAL = "trial_"  # follows PENDING_PREFIX
ELSEWHERE = -1  # in the place of a trial's account; nodes of the previous version read it as an ordinary sign-in


@dataclass(frozen=True)
class Pending:
    """One sign-in that was started. `started_at` is in seconds since 1970; `cookie` is the name of its cookie.

    A trial has an id and the account of the administrator who started it; it never opens a session. `elsewhere` is True
    if the sign-in was not started from a page of this site: another site may have started it.
    """

    nonce: str
    provider: str
    return_path: str
    started_at: int
    cookie: str
    trial: str = ""
    trial_by: int = 0
    elsewhere: bool = False

    @property
    def nonce_hash(self) -> bytes:
        """The nonce as the database stores it."""
        return hashlib.sha256(self.nonce.encode()).digest()


class PendingSignIns:
    """Reads and writes the pending cookies of one gateway."""

    def __init__(self, secret_keys: Sequence[str], *, https: bool) -> None:
        self._serializer = SignedValues(secret_keys, "lychgate pending sign-in")
        self._https = https
        self._prefix = full_name(PENDING_PREFIX, https)
        self._not_ours = full_name(HAND_OVER_PREFIX, https)  # belongs to a site on another port of this host

    def begin(
        self,
        response: Response,
        cookies: Mapping[str, str],
        provider: str,
        return_path: str,
        *,
        trial: str = "",
        trial_by: int = 0,
        elsewhere: bool = False,
    ) -> Pending:
        """Set the cookie of a new pending sign-in, delete the oldest if there are too many, and return the new one."""
        nonce = secrets.token_urlsafe(24)
        cookie = self._name(nonce, trial)
        pending = Pending(nonce, provider, return_path, int(time_now()), cookie, trial, trial_by, elsewhere)
        origin = [trial, trial_by] if trial else ["", ELSEWHERE] if elsewhere else []
        content = [nonce, provider, return_path, pending.started_at, *origin]
        value = self._serializer.dumps(content)
        self._make_room(response, cookies, len(value))
        self._set(response, cookie, value, LIFETIME)
        return pending

    def read(self, cookies: Mapping[str, str], provider: str) -> list[Pending]:
        """Return the sign-ins that this browser has started with *provider*, newest first, without forged and old ones.

        Trials are not included: a token requested by a trial cannot sign anyone in.
        """
        return [pending for pending in self._read(cookies, provider) if not pending.trial]

    def trials(self, cookies: Mapping[str, str], provider: str) -> list[Pending]:
        """Return the trials that this browser has started with *provider*, newest first."""
        if not any(name.startswith(self._prefix + TRIAL) for name in cookies):
            return []  # the usual case: do not verify the cookies twice in a sign-in
        return [pending for pending in self._read(cookies, provider) if pending.trial]

    def finish(self, response: Response, pending: Pending) -> None:
        """Delete the cookie of *pending*."""
        self._set(response, pending.cookie, "", 0)

    def _read(self, cookies: Mapping[str, str], provider: str) -> list[Pending]:
        found = [pending for name in cookies if (pending := self._parse(name, cookies[name])) is not None]
        return sorted((p for p in found if p.provider == provider), key=lambda p: -p.started_at)

    def _parse(self, name: str, value: str) -> Pending | None:
        if not self._is_ours(name):
            return None
        try:
            nonce, provider, return_path, started_at, *trial = self._serializer.loads(value)
        except (BadSignature, ValueError, TypeError):
            return None
        elsewhere = trial == ["", ELSEWHERE]
        trial_id, trial_by = trial if trial and not elsewhere else ("", 0)
        if name != self._name(nonce, trial_id) or not time_now() - LIFETIME < started_at:
            return None  # expired; or it has another name, so we did not set it
        return Pending(nonce, provider, return_path, started_at, name, trial_id, trial_by, elsewhere)

    def _name(self, nonce: str, trial: str) -> str:
        """Return the only valid cookie name for the sign-in with this nonce."""
        return self._prefix + (TRIAL if trial else "") + hashlib.sha256(nonce.encode()).hexdigest()[:8]

    def _is_ours(self, name: str) -> bool:
        return name.startswith(self._prefix) and not name.startswith(self._not_ours)

    def _make_room(self, response: Response, cookies: Mapping[str, str], needed: int) -> None:
        mine = {name: value for name, value in cookies.items() if self._is_ours(name)}
        ages = {name: pending.started_at if (pending := self._parse(name, mine[name])) else 0 for name in mine}
        for name in too_many(mine, ages, needed):
            self._set(response, name, "", 0)

    def _set(self, response: Response, name: str, value: str, max_age: int) -> None:
        set_cookie(response, name, value, https=self._https, max_age=max_age, cross_site=True)


def too_many(cookies: Mapping[str, str], began_at: Mapping[str, int], needed: int) -> Iterator[str]:
    """Yield the names of *cookies* to delete, invalid and oldest first, to make room for a cookie of *needed* bytes.

    *began_at* is the time at which each began, in seconds since 1970; 0 for an invalid cookie.
    """
    for kept, name in enumerate(sorted(cookies, key=lambda name: -began_at[name]), start=1):
        needed += len(cookies[name])
        if began_at[name] == 0 or kept >= MAX_PENDING or needed > MAX_COOKIE_BYTES:
            yield name
