"""Why a sign-in was refused: one class for each code of the wire contract. Pure.

An error speaks to three readers. `code` and `status` are for programs, `explanation` and `remedy` for the person who
stands before the closed gate, `detail` for the log. None of them ever carries a token, a key, a password or a cookie.
"""

from __future__ import annotations

from typing import ClassVar


class Rejection(Exception):
    """A refusal with a code. Raised, never returned, so that no caller can overlook it.

    *detail* is one line for the log and for `error_description`; *claim* names the claim at fault, if there is one.
    """

    code: ClassVar[str] = "rejected"
    status: ClassVar[int] = 401
    explanation: ClassVar[str] = "The sign-in was refused."
    remedy: ClassVar[str] = (
        "Start the sign-in again. If it happens again, quote the reference below to your administrator."
    )

    def __init__(self, detail: str = "", *, claim: str | None = None) -> None:
        # What a token or an address says may stand in the detail: it must not end the line of a log.
        self.claim = claim and _one_line(claim)
        self.detail = _one_line(detail or self.explanation)
        super().__init__(f"{self.code}: {self.detail}")

    @property
    def description(self) -> str:
        """The text of `error_description` (RFC 6749, section 5.2): names the claim where one is at fault.

        RFC 6749 allows printable ASCII without the quote and the backslash, so anything else is replaced.
        """
        text = self.detail if not self.claim or self.claim in self.detail else f"{self.claim}: {self.detail}"
        return "".join(c if " " <= c <= "~" and c not in '"\\' else "'" if c == '"' else "?" for c in text)


def _one_line(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


class TokenMissing(Rejection):
    code = "token_missing"
    status = 400
    explanation = "The request carried no sign-in token."
    remedy = (
        "Start the sign-in again. If you are setting up an identity provider, check the name of the token parameter."
    )


class TokenMalformed(Rejection):
    code = "token_malformed"
    status = 400
    explanation = "What arrived is not a sign-in token: it was cut off, changed on the way, or built wrongly."
    remedy = "Start the sign-in again. If it happens again, your administrator can inspect a token for the exact place."


class TokenTypeWrong(Rejection):
    code = "token_type_wrong"
    explanation = "This token was made for something else than this step."
    remedy = "Start the sign-in again. A sign-out token never signs in, and a sign-in token never signs out."


class AlgorithmNotAllowed(Rejection):
    code = "algorithm_not_allowed"
    explanation = "The token is signed with another algorithm than the one agreed on."
    remedy = "Your administrator must set the same algorithm at the identity provider and here."


class SignatureInvalid(Rejection):
    code = "signature_invalid"
    explanation = "The token's signature does not fit any key that is configured here."
    remedy = (
        "Your administrator must check that both sides hold the same key, without a line break or a second encoding."
    )


class KeyUnavailable(Rejection):
    code = "key_unavailable"
    status = 503
    explanation = "The keys of the identity provider cannot be had at the moment, so its token cannot be checked."
    remedy = "Wait a minute and try again. If it lasts, your administrator must look at the provider's key endpoint."


class ClaimMissing(Rejection):
    code = "claim_missing"
    explanation = "The token lacks a piece of information that is required here."
    remedy = "Your administrator must have the identity provider send it. The activity log says which one it is."


class ClaimInvalid(Rejection):
    code = "claim_invalid"
    explanation = "A piece of information in the token has a value that cannot be right."
    remedy = "Your administrator can inspect a token to see which one, and what is expected."


class TokenExpired(Rejection):
    code = "token_expired"
    explanation = "The token has expired. Sign-in tokens live only for a minute or so."
    remedy = "Start the sign-in again. If it happens every time, the clocks of the two servers differ."


class TokenNotYetValid(Rejection):
    code = "token_not_yet_valid"
    explanation = "The token is dated in the future."
    remedy = "Try again in a minute. If it happens every time, the clocks of the two servers differ."


class TokenTooOld(Rejection):
    code = "token_too_old"
    explanation = "The token was issued too long ago."
    remedy = (
        "Start the sign-in again. If it happens every time, the clocks differ or the provider sends a stored token."
    )


class IssuerMismatch(Rejection):
    code = "issuer_mismatch"
    explanation = "The token comes from another issuer than the one expected here."
    remedy = "Your administrator must compare the provider's issuer with the expected value."


class AudienceMismatch(Rejection):
    code = "audience_mismatch"
    explanation = "The token was made for another service."
    remedy = "Your administrator must compare the token's audience with the expected value."


class NonceMismatch(Rejection):
    code = "nonce_mismatch"
    explanation = "The token does not belong to a sign-in that this browser has begun."
    remedy = "Start the sign-in again, here, in this browser, and allow cookies for this site."


class Unsolicited(Rejection):
    code = "unsolicited"
    explanation = "This browser did not ask for the sign-in, and sign-ins that nobody asked for are not accepted here."
    remedy = "Open the application first and sign in from there."


class TokenReplayed(Rejection):
    code = "token_replayed"
    explanation = "This token has been used before. Each token opens the gate once."
    remedy = "Start the sign-in again. If you did not use it yourself, tell your administrator."


class UserUnknown(Rejection):
    code = "user_unknown"
    status = 403
    explanation = "You are signed in at your identity provider, but there is no account for you here."
    remedy = "Ask your administrator to create one, or to allow accounts to be created at the first sign-in."


class UserDisabled(Rejection):
    code = "user_disabled"
    status = 403
    explanation = "Your account here is disabled."
    remedy = "Ask your administrator to enable it."


class EmailConflict(Rejection):
    code = "email_conflict"
    status = 403
    explanation = "Another account here already uses this e-mail address, and it cannot be joined to yours by itself."
    remedy = "Ask your administrator which of the two accounts is yours."


class EmailNotAllowed(Rejection):
    code = "email_not_allowed"
    status = 403
    explanation = "Your e-mail address belongs to a domain that is not admitted here."
    remedy = "Sign in with another account, or ask your administrator to admit the domain."


class SeatLimitReached(Rejection):
    code = "seat_limit_reached"
    status = 403
    explanation = "All seats of the subscription are taken, so no account could be created for you."
    remedy = "Ask your administrator to disable an account that is no longer used, or to extend the subscription."


class ProviderUnknown(Rejection):
    code = "provider_unknown"
    status = 404
    explanation = "There is no identity provider of this name."
    remedy = "Check the address, or start again from the sign-in page."


class ProviderDisabled(Rejection):
    code = "provider_disabled"
    status = 403
    explanation = "This identity provider is switched off here."
    remedy = "Use another way to sign in, or ask your administrator to switch it on."


class DeliveryNotAllowed(Rejection):
    code = "delivery_not_allowed"
    status = 400
    explanation = "The token came in a way that is not allowed for this provider."
    remedy = "Your administrator must allow this delivery, or set the provider to another one."


class CookiesBlocked(Rejection):
    code = "cookies_blocked"
    status = 400
    explanation = (
        "You are signed in at your identity provider, but your browser did not return our cookie, several times."
    )
    remedy = (
        "Allow cookies for this site and start again. If cookies are allowed, the site may be reached under another "
        "name, or over http where https is configured: ask your administrator."
    )


class HttpsNeeded(CookiesBlocked):
    """The same code, where the request itself shows that the browser is not to blame."""

    explanation = (
        "Your identity provider posts its token from another site, and this site is reached over plain http. With such "
        "a post browsers send our cookie over https only: this needs https here."
    )
    remedy = (
        "Your administrator must serve this site over https and set SP_EXTERNAL_URL to the https address, or have the "
        "identity provider send its token by a redirect."
    )


class StoreUnavailable(Rejection):
    code = "store_unavailable"
    status = 503
    explanation = "A part of the gateway that remembers things cannot be reached, so nobody can be let in safely."
    remedy = "Wait a minute and try again. If it lasts, tell your administrator."


class RateLimited(Rejection):
    code = "rate_limited"
    status = 429
    explanation = "There were too many wrong passwords."
    remedy = "Wait a few minutes and try again."


REJECTIONS: dict[str, type[Rejection]] = {cls.code: cls for cls in Rejection.__subclasses__()}
