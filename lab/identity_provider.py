"""An identity provider without passwords, for tests: it signs in anyone. A test can decide to add a fault.

    with IdentityProvider("the shared secret", "http://127.0.0.1:8000/sso/jwt") as idp:
        idp.next(user="carol@example.org", claims={"groups": ["admins"]})
        ...                       # send the browser to idp.login_url, or to the application that does so

The first of these that exists decides a sign-in:

1. the parameters `user` and `fault` of the request to /login-token/;
2. `next`, or POST /__lab__/next;
3. the earlier sign-in of this browser: the same person signs in again.

If there is none of them, a page asks for the person. A request with only `fault` is for the person of 3, or else for
alice@example.org. A decision by `next` without a person is also for alice@example.org. The token goes to the configured
service, with `return_to` and `nonce` echoed, as from a real identity provider.

The identity provider gives a token to everyone, so it listens on this machine only.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lab.forging import ForgingKey
from lab.identity_pages import Delivery, create_app
from lab.issuing import Issuer, Sent, SignIn
from lab.keys import read_key
from lab.server import Served, ServerThread

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

__all__ = ["IdentityProvider", "Sent"]


class IdentityProvider(Served):
    """Runs in a thread of this process, from `start` to `stop` or within a `with`.

    *key* is a shared secret, PEM or JWK, or a key object. *service* is the URL to which tokens are sent. *claims* are
    added to every token (such as `iss` and `aud`), and the claims *without* are left out.
    """

    def __init__(
        self,
        key: str | ForgingKey,
        service: str,
        *,
        parameter: str = "jwt",
        delivery: Delivery = "redirect",
        claims: Mapping[str, Any] | None = None,
        without: Sequence[str] = (),
        port: int = 0,
    ) -> None:
        self._issuer = Issuer(key if isinstance(key, ForgingKey) else read_key(key), claims or {}, without)
        self._server = ServerThread(self._ask, port)
        self.serve(service, parameter=parameter, delivery=delivery)

    @property
    def url(self) -> str:
        """Its origin."""
        return self._server.url

    @property
    def login_url(self) -> str:
        """The URL to which a service sends people to sign in."""
        return f"{self.url}/login-token/"

    @property
    def logout_url(self) -> str:
        """The URL to which a service sends people to sign out."""
        return f"{self.url}/logout"

    @property
    def key(self) -> ForgingKey:
        """The key that signs."""
        return self._issuer.key

    @property
    def sent(self) -> Sequence[Sent]:
        """The tokens that were sent since the last `reset`, oldest first."""
        return tuple(self._issuer.sent)

    def serve(self, service: str, *, parameter: str = "jwt", delivery: Delivery = "redirect") -> None:
        """Send tokens to the URL *service* from now on."""
        self._app = create_app(self._issuer, service, parameter, delivery)

    def add_person(self, email: str, **claims: Any) -> None:
        """Set further claims for the tokens of a person, such as groups."""
        self._issuer.add_person(email, claims)

    def next(
        self, user: str = "", *, claims: Mapping[str, Any] | None = None, without: Sequence[str] = (), fault: str = ""
    ) -> None:
        """Decide the next sign-in whose request names no person. Raises UnknownFault, NotApplicable."""
        self._issuer.decide(SignIn(user, claims or {}, without, fault))

    def reset(self) -> None:
        """Forget decisions, sent tokens and sign-ins; keep the people and the port."""
        self._issuer.reset()

    def _ask(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        return self._app(environ, start_response)
