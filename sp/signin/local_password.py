"""Sign in with a local password, without an identity provider.

Attempts are counted before the password is verified: per account and per IP, or per device if this person has signed in
on it before. shared/throttling.py explains why that does not lock anyone out. Every refusal gets a line in the activity
log. The line contains the e-mail field only if it looks like an e-mail address, because people type passwords there by
mistake.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from shared.known_browsers import KnownBrowsers
from shared.throttling import Throttle, TooManyAttempts
from sp.accounts.manage import PasswordChanged, People
from sp.activity.record import WRONG_PASSWORD
from sp.signin.logbook import Logbook
from sp.signin.opening import Opening
from sp.signin.transaction import SignedIn, SignIn
from sp.signin.verification import is_plain_email


class WrongPassword(Exception):
    """E-mail and password do not match, or the account may not sign in here. The answer does not say which."""


@dataclass(frozen=True)
class LocalSignIn:
    """Signs people in with their password."""

    people: People
    throttle: Throttle
    devices: KnownBrowsers
    sign_in: SignIn
    logbook: Logbook

    def enter(self, email: str, password: str, opening: Opening, *, device: str | None) -> SignedIn:
        """Open a session, or raise WrongPassword, TooManyAttempts or StoreUnavailable.

        *device* is the value of the browser's device cookie, not verified yet.
        """
        try:
            attempt = self.throttle.admit(email, opening.visitor.ip, self.devices.known(device, email))
        except TooManyAttempts as refusal:
            refusal.reference = self._note(email, opening, refusal.detail, refusal.code)
            raise
        proven = self.people.authenticate(email, password)
        if proven is None:
            detail = "wrong password, or no active account with this e-mail address has one"
            self._note(email, opening, detail, WRONG_PASSWORD, lambda: self.people.why_not(email))
            raise WrongPassword
        attempt.succeeded()
        try:
            return self.sign_in.with_password(proven, opening)
        except PasswordChanged as change:
            self._note(email, opening, "the password was changed a moment ago", WRONG_PASSWORD)
            raise WrongPassword from change

    def _note(
        self, email: str, opening: Opening, detail: str, code: str, explain: Callable[[], str] | None = None
    ) -> str:
        typed = email if is_plain_email(email) else None
        return self.logbook.note_local_refusal(
            typed, opening.visitor, reference=opening.reference, detail=detail, code=code, explain=explain
        )
