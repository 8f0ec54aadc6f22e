"""Sign in with a local password, without an identity provider and with no key but our own.

Attempts are counted before the password is looked at, per account and per address, or per device where this person has
signed in before; shared/throttling.py says why that does not lock anyone out. Every refusal is a line in the activity
log. The line contains what was typed as the address only if it can be an address, because people type passwords there
by mistake.
"""

from __future__ import annotations

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
    """Address and password do not match, or the account may not sign in here; the answer does not say which."""


@dataclass(frozen=True)
class LocalSignIn:
    """Lets people in by their password."""

    people: People
    throttle: Throttle
    devices: KnownBrowsers
    sign_in: SignIn
    logbook: Logbook

    def enter(self, email: str, password: str, opening: Opening, *, device: str | None) -> SignedIn:
        """Open a session, or raise WrongPassword, TooManyAttempts or StoreUnavailable.

        *device* is the value of the browser's device cookie, believed or not.
        """
        try:
            attempt = self.throttle.admit(email, opening.visitor.ip, self.devices.known(device, email))
        except TooManyAttempts as refusal:
            refusal.reference = self._note(email, opening, refusal.detail, refusal.code)
            raise
        proven = self.people.authenticate(email, password)
        if proven is None:
            detail = "wrong password, or no active account of this address has one"
            self._note(email, opening, detail, WRONG_PASSWORD)
            raise WrongPassword
        attempt.succeeded()
        try:
            return self.sign_in.with_password(proven, opening)
        except PasswordChanged as change:
            self._note(email, opening, "the password was changed a moment ago", WRONG_PASSWORD)
            raise WrongPassword from change

    def _note(self, email: str, opening: Opening, detail: str, code: str) -> str:
        typed = email if is_plain_email(email) else None
        return self.logbook.note_local_refusal(
            typed, opening.visitor, reference=opening.reference, detail=detail, code=code
        )
