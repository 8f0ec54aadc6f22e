"""End a session at the person's request, and redirect the browser to sign out at the identity provider.

The redirect URL contains a sign-out token for the provider. The session ends even if the provider cannot be notified
because it was deleted, is disabled, or has no key with which the gateway could sign the token.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from shared.clock import time_now
from shared.errors import Rejection
from shared.logout_tokens import make_sign_out_token
from sp.activity.record import Visitor
from sp.providers.registry import ProviderRegistry, Trusted
from sp.redirects import add_query
from sp.sessions.listing import SessionFinder
from sp.sessions.store import Session, SessionStore, hash_id
from sp.signin.logbook import Logbook

LIFETIME = 60  # seconds for which the token for the provider is valid


@dataclass(frozen=True)
class OwnSignOuts:
    """Ends sessions at the request of the signed-in person. *our_url* is the issuer of the tokens for providers."""

    sessions: SessionStore
    finder: SessionFinder
    registry: ProviderRegistry
    logbook: Logbook
    our_url: str

    def provider_of(self, session: Session) -> Trusted | None:
        """Return the provider that opened the session.

        Return None if the session is from a local sign-in, or if the provider was deleted, is disabled, or cannot be
        read.
        """
        if session.provider is None:
            return None
        try:
            return self.registry.get(session.provider)
        except Rejection:
            return None

    def end(self, secret: str, session: Session | None, visitor: Visitor, *, reference: str) -> str | None:
        """End the session with this id, and return the provider's logout URL, if it has one.

        *session* is None if it is no longer valid, for example because it has reached the idle limit. If its row still
        exists, it is deleted too, because the access token that was opened with it may still be in use.
        """
        trusted = self.provider_of(session) if session else None
        onward = self._logout_url(session, trusted) if session and trusted and trusted.provider.logout_url else None
        self.sessions.end(id_hash=hash_id(secret))
        if session:
            self.logbook.note_sign_out(session, visitor, reference=reference, sent_to=onward)
        return onward

    def _logout_url(self, session: Session, trusted: Trusted) -> str:
        """Return the provider's logout URL with a signed sign-out token in the query, as `jwt` (read by logout.php).

        If there is no key to sign with, return the URL without a token.
        """
        key = trusted.signing_key
        if key is None:
            return trusted.provider.logout_url
        token = make_sign_out_token(
            self._named(session),
            key,
            issuer=self.our_url,
            token_id=secrets.token_urlsafe(24),
            now=int(time_now()),
            lifetime=LIFETIME,
        )
        return add_query(trusted.provider.logout_url, jwt=token)

    def _named(self, session: Session) -> dict[str, str]:
        """Return the claims by which the provider finds the person and the session."""
        named = {"email": session.email}
        detail = self.finder.detail(session.public_id)
        if detail is not None:
            known = {"sub": detail.claims.get("sub"), "sid": detail.provider_session}
            named |= {name: value for name, value in known.items() if value}
        return named
