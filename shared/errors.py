"""Define why a sign-in is rejected: one class for each code of docs/protocol.md.

An error has three readers. `code` and `status` are for programs, `explanation` and `remedy` are for the person who
wants to sign in, and `detail` is for the log. None of these texts ever contains a token, a key, a password or a cookie.
Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from typing import ClassVar


class Rejection(Exception):
    """A rejection with a code. A function that rejects something raises it, so that no caller can overlook it.

    *detail* is one line for the log and for `error_description`. If a claim is wrong, *claim* is its name.
    """

    code: ClassVar[str] = "rejected"
    status: ClassVar[int] = 401
    explanation: ClassVar[str] = "Your sign-in was rejected."
    remedy: ClassVar[str] = (
        "Start the sign-in again. If it happens again, give the reference below to your administrator."
    )

    def __init__(self, detail: str = "", *, claim: str | None = None) -> None:
        # The detail may quote a token or a URL, which must not begin a new line in a log.
        self.claim = claim and _one_line(claim)
        self.detail = _one_line(detail or self.explanation)
        self.attempt: object | None = None  # what the program knew when it rejected, for its log
        super().__init__(f"{self.code}: {self.detail}")

    @property
    def description(self) -> str:
        """The text of `error_description` (RFC 6749, section 5.2). If a claim is wrong, the text names it.

        RFC 6749 allows only printable ASCII without the quote and the backslash, so all other characters are replaced.
        """
        text = self.detail if not self.claim or self.claim in self.detail else f"{self.claim}: {self.detail}"
        return "".join(c if " " <= c <= "~" and c not in '"\\' else "'" if c == '"' else "?" for c in text)


def _one_line(text: str) -> str:
    return text if text.isprintable() else "".join(c if c.isprintable() else "?" for c in text)


class TokenMissing(Rejection):
    code = "token_missing"
    status = 400
    explanation = "The request did not contain a sign-in token."
    remedy = (
        "Start the sign-in again. If you are setting up the sign-in service, check the name of the token parameter."
    )


class TokenMalformed(Rejection):
    code = "token_malformed"
    status = 400
    explanation = "The sign-in token is malformed: it was cut off, changed on the way, or built incorrectly."
    remedy = "Start the sign-in again. If it happens again, your administrator can inspect a token to find the error."


class TokenTypeWrong(Rejection):
    code = "token_type_wrong"
    explanation = "This token is of the wrong type for this step."
    remedy = "Start the sign-in again. A sign-out token cannot sign you in, and a sign-in token cannot sign you out."


class AlgorithmNotAllowed(Rejection):
    code = "algorithm_not_allowed"
    explanation = "The token is signed with an algorithm that is not the configured one."
    remedy = "Your administrator must set the same algorithm at the sign-in service and here."


class SignatureInvalid(Rejection):
    code = "signature_invalid"
    explanation = "The signature of the token does not match any key that is configured here."
    remedy = (
        "Your administrator must check that both sides have the same key, without a line break or a second encoding."
    )


class KeyUnavailable(Rejection):
    code = "key_unavailable"
    status = 503
    explanation = "The keys of the sign-in service are unavailable right now, so its token cannot be verified."
    remedy = "Wait a minute and try again. If it lasts, your administrator must check the key endpoint of that service."


class ClaimMissing(Rejection):
    code = "claim_missing"
    explanation = "The token does not contain a claim that is required here."
    remedy = "Your administrator must make the sign-in service send this claim. The activity log names the claim."


class ClaimInvalid(Rejection):
    code = "claim_invalid"
    explanation = "A claim in the token has an invalid value."
    remedy = "Your administrator can inspect a token to see which claim it is, and what is expected."


class TokenExpired(Rejection):
    code = "token_expired"
    explanation = "The token has expired. Sign-in tokens are valid for only about a minute."
    remedy = "Start the sign-in again. If it happens every time, the clocks of the two servers differ."


class TokenNotYetValid(Rejection):
    code = "token_not_yet_valid"
    explanation = "The token is dated in the future."
    remedy = "Try again in a minute. If it happens every time, the clocks of the two servers differ."


class TokenTooOld(Rejection):
    code = "token_too_old"
    explanation = "The token was issued too long ago."
    remedy = "Start the sign-in again. If it happens every time, the clocks differ, or a stored token is sent."


class IssuerMismatch(Rejection):
    code = "issuer_mismatch"
    explanation = "The issuer of the token is not the one that is expected here."
    remedy = "Your administrator must compare the token's issuer with the expected value."


class AudienceMismatch(Rejection):
    code = "audience_mismatch"
    explanation = "The token was issued for another service."
    remedy = "Your administrator must compare the token's audience with the expected value."


class NonceMismatch(Rejection):
    code = "nonce_mismatch"
    explanation = "The token does not belong to a sign-in that was started in this browser."
    remedy = "Start the sign-in again in this browser, and allow cookies for this site."


class Unsolicited(Rejection):
    code = "unsolicited"
    explanation = "This sign-in was not started from this site, and such unsolicited sign-ins are not accepted here."
    remedy = "Open the application first and sign in from there."


class TokenReplayed(Rejection):
    code = "token_replayed"
    explanation = "This sign-in link has already been used. Each link works only once."
    remedy = "Start the sign-in again. If you did not use the link yourself, tell your administrator."


class TicketInvalid(Rejection):
    code = "ticket_invalid"
    explanation = (
        "This sign-in link is not valid. Such a link works once, for one minute, at one site, and only in the browser "
        "in which the sign-in began."
    )
    remedy = "Start again here. If it happens again, allow cookies for this site, or tell your administrator."


class UserUnknown(Rejection):
    code = "user_unknown"
    status = 403
    explanation = "You are signed in at your sign-in service, but you do not have an account here."
    remedy = "Ask your administrator to create an account for you, or to allow new accounts at the first sign-in."


class UserDisabled(Rejection):
    code = "user_disabled"
    status = 403
    explanation = "Your account here is disabled."
    remedy = "Ask your administrator to enable it."


class EmailConflict(Rejection):
    code = "email_conflict"
    status = 403
    explanation = "Another account here already uses your e-mail address, and we do not link it to yours automatically."
    remedy = "Ask your administrator to check which account is yours."


class EmailNotAllowed(Rejection):
    code = "email_not_allowed"
    status = 403
    explanation = "The domain of your e-mail address is not allowed here."
    remedy = "Sign in with another account, or ask your administrator to allow the domain."


class SeatLimitReached(Rejection):
    code = "seat_limit_reached"
    status = 403
    explanation = "All seats of the subscription are in use, so we could not create an account for you."
    remedy = "Ask your administrator to disable an account that is no longer used, or to extend the subscription."


class ProviderUnknown(Rejection):
    code = "provider_unknown"
    status = 404
    explanation = "The URL names no sign-in service that is configured here."
    remedy = "Check the URL, or start again from the sign-in page."


class ProviderDisabled(Rejection):
    code = "provider_disabled"
    status = 403
    explanation = "This sign-in service is disabled here."
    remedy = "Use another way to sign in, or ask your administrator to enable it."


class DeliveryNotAllowed(Rejection):
    code = "delivery_not_allowed"
    status = 400
    explanation = "The token was delivered in a way that is not allowed for this sign-in service."
    remedy = "Your administrator must allow this delivery, or make the sign-in service use another one."


class CookiesBlocked(Rejection):
    code = "cookies_blocked"
    status = 400
    explanation = (
        "You are signed in at your sign-in service, but your browser did not send our cookie back in several tries."
    )
    remedy = (
        "Allow cookies for this site and start again. If cookies are allowed, tell your administrator: the URL may "
        "have another host name than the configured one, or http instead of https."
    )


class HttpsNeeded(CookiesBlocked):
    """The code `cookies_blocked`, if the request shows that the cause is missing https and not the browser."""

    explanation = (
        "Your sign-in service posts its token from another site, and this site uses plain http. Browsers send our "
        "cookie with such a post only over https, so this site needs https."
    )
    remedy = (
        "Your administrator must serve this site over https and set SP_EXTERNAL_URL to the https URL, or have the "
        "sign-in service send its token by a redirect."
    )


class StoreUnavailable(Rejection):
    code = "store_unavailable"
    status = 503
    explanation = "This site cannot reach its database, so sign-in is unavailable right now."
    remedy = "Wait a minute and try again. If it lasts, tell your administrator."


class RateLimited(Rejection):
    code = "rate_limited"
    status = 429
    explanation = "There were too many wrong passwords."
    remedy = "Wait a few minutes and try again."


REJECTIONS: dict[str, type[Rejection]] = {cls.code: cls for cls in Rejection.__subclasses__()}
