"""Provide OAuth 2 for clients without a browser, with Authlib: the grant, the revocation and the bearer token.

Authlib parses requests and writes answers. The gateway verifies and spends the identity provider's token (the
assertion), and opens the session, as in any other sign-in. There are no registered clients: the signature of the
identity provider is the only credential (RFC 7523, section 2.1). An access token is the opaque id of a session on the
server.
"""

from __future__ import annotations

from typing import Any, NoReturn

from authlib.integrations.flask_oauth2 import AuthorizationServer, ResourceProtector
from authlib.oauth2 import OAuth2Error, OAuth2Request
from authlib.oauth2.rfc6749 import (
    BaseGrant,
    InvalidGrantError,
    InvalidRequestError,
    OAuth2Payload,
    TokenEndpointMixin,
    UnsupportedGrantTypeError,
)
from authlib.oauth2.rfc6750 import BearerTokenValidator, InvalidTokenError
from authlib.oauth2.rfc7009 import RevocationEndpoint
from flask import abort, jsonify, make_response, request

from shared.clock import time_now
from shared.errors import Rejection, TokenMissing
from shared.web import new_reference
from sp.current import components
from sp.sessions.store import API, Session
from sp.signin.attempt import known, verify_with_keys
from sp.signin.opening import Opening
from sp.views.people import visitor
from sp.views.refusals import write_down

JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
REALM = "lychgate"
RETRY_SECONDS = 10  # sent as Retry-After when a store or a key is unavailable


class Refused(InvalidGrantError):  # type: ignore[misc]  # Authlib ships no types
    """A rejected token: the error is invalid_grant, and the description begins with our code.

    RFC 6749, section 5.2, has no error for an unavailable server. In that case the status is 503, which tells the
    client to try again later.
    """

    def __init__(self, rejection: Rejection) -> None:
        self.reference = write_down(rejection)
        self.is_temporary = rejection.status == 503
        super().__init__(f"{rejection.code}: {rejection.description}", status_code=503 if self.is_temporary else 400)

    def get_body(self) -> list[tuple[str, str]]:
        return [*super().get_body(), ("reference", self.reference)]

    def get_headers(self) -> list[tuple[str, str]]:
        return [*super().get_headers(), *([("Retry-After", str(RETRY_SECONDS))] if self.is_temporary else [])]


class GrantTypeRefused(UnsupportedGrantTypeError):  # type: ignore[misc]
    """The grant_type is missing or not supported. Its value is not repeated in the answer: it can be any text."""

    def __init__(self, grant_type: str | None) -> None:
        super().__init__(grant_type)
        self.error = "unsupported_grant_type" if grant_type else "invalid_request"

    def get_error_description(self) -> str:
        return f"grant_type must be {JWT_BEARER}"

    def get_body(self) -> list[tuple[str, str]]:
        return [("error", self.error), ("error_description", self.get_error_description())]


class AssertionGrant(BaseGrant, TokenEndpointMixin):  # type: ignore[misc]
    """The grant of RFC 7523, section 2.1.

    `assertion` is a sign-in token. `provider` names its provider if there are several.

    The grant does not check the nonce, or who started the sign-in. These checks protect people from being signed in
    against their will. Here that is impossible, because no cookie is set.
    """

    GRANT_TYPE = JWT_BEARER

    def validate_token_request(self) -> None:
        if not request.form.get("assertion"):
            rejection = TokenMissing("assertion is missing")
            write_down(rejection)
            raise InvalidRequestError(f"{rejection.code}: {rejection.description}")

    def create_token_response(self) -> tuple[int, dict[str, Any], Any]:
        try:
            access_token = _open_session(request.form["assertion"], request.form.get("provider") or None)
        except Rejection as rejection:
            raise Refused(rejection) from rejection
        answer = {"access_token": access_token, "token_type": "Bearer", "expires_in": components().sessions.lifetime}
        return 200, answer, self.TOKEN_RESPONSE_HEADER


class Revocation(RevocationEndpoint):  # type: ignore[misc]
    """Ends the session of an access token. Unknown tokens get the same 200 as valid ones (RFC 7009, section 2.2)."""

    def authenticate_endpoint_client(self, _request: OAuth2Request) -> None:
        """Require no client authentication: everyone who has the token may revoke it."""

    def authenticate_token(self, _request: OAuth2Request, _client: None) -> Session | None:
        if "token" not in request.form:
            raise InvalidRequestError("token is missing")
        return components().sessions.find(request.form["token"], API)

    def revoke_token(self, session: Session, _request: OAuth2Request) -> None:
        components().sessions.end(id_hash=session.id_hash)
        components().logbook.note_sign_out(session, visitor(), reference=new_reference())


class FormPayload(OAuth2Payload):  # type: ignore[misc]
    """The parameters of the body. Parameters of the URL are ignored, because URLs are written to logs."""

    @property
    def data(self) -> Any:
        return request.form


class FormRequest(OAuth2Request):  # type: ignore[misc]
    """The request in the form that Authlib expects."""

    def __init__(self) -> None:
        # Do not pass the URL of the request: behind a proxy it begins with http, and Authlib requires https. Whether
        # people use https is decided by SP_EXTERNAL_URL.
        super().__init__(request.method, "https://gateway.invalid/", headers=request.headers)
        self.payload = FormPayload()


class TokenServer(AuthorizationServer):  # type: ignore[misc]
    """The two endpoints, without clients and scopes, and without Authlib's own tokens."""

    def create_oauth2_request(self, _request: Any) -> FormRequest:
        return FormRequest()

    def get_token_grant(self, oauth_request: FormRequest) -> AssertionGrant:
        if oauth_request.payload.grant_type != JWT_BEARER:
            raise GrantTypeRefused(oauth_request.payload.grant_type)
        return AssertionGrant(oauth_request, self)


class SessionValidator(BearerTokenValidator):  # type: ignore[misc]
    """Accepts the id of a session for a client without a browser as a bearer token (RFC 6750, section 2.1)."""

    def authenticate_token(self, token_string: str) -> Session | None:
        return components().sessions.find(token_string, API)

    def validate_token(self, session: Session | None, scopes: Any, request: Any) -> None:
        if session is None:
            raise InvalidTokenError(realm=self.realm)


class Protector(ResourceProtector):  # type: ignore[misc]
    """Rejects a request without a valid access token, with JSON and WWW-Authenticate (RFC 6750, section 3)."""

    def acquire_token(self, scopes: Any = None, **claims: Any) -> Session:
        try:
            session: Session = super().acquire_token(scopes, **claims)
        except InvalidTokenError as error:
            self.raise_error_response(error)
        except OAuth2Error:
            # "If the request lacks any authentication information, [...] SHOULD NOT include an error code"
            body = {"error": "invalid_token", "error_description": "An access token is required."}
            abort(make_response(jsonify(body), 401, {"WWW-Authenticate": f'Bearer realm="{REALM}"'}))
        return session

    def raise_error_response(self, error: OAuth2Error) -> NoReturn:
        status, body, headers = error()
        abort(make_response(jsonify(body), status, headers))


def _open_session(unverified_token: str, provider_name: str | None) -> str:
    """Verify and spend the token, open a session, and return the session's secret."""
    trusted = components().provider_registry.get(provider_name)
    with known(trusted.provider):
        verified = verify_with_keys(unverified_token, trusted, time_now)
    with known(trusted.provider, verified):
        signed_in = components().sign_in.with_token(
            verified, trusted, Opening(visitor("form"), new_reference(), API, is_bound=False)
        )
    return signed_in.secret


server = TokenServer()
server.register_endpoint(Revocation)
protector = Protector()
protector.register_token_validator(SessionValidator(realm=REALM))
