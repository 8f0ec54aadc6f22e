"""An emulated service provider, as strict as its product's documents: iSpring Learn, Zendesk and others.

    with EmulatedService("zendesk", "the shared secret") as service:
        ...                           # let the identity provider send its token to service.token_url
        assert service.last().accepted, service.last().found

It tells which documented rule a sign-in broke (`last().rule`), and its page explains this rule. The products are in
lab/services; each module names the documents that it follows. The service listens on this machine only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from lab.forging import ForgingKey, new_key
from lab.keys import read_key
from lab.server import Served, ServerThread
from lab.services.memory import Attempt
from lab.services.pages import create_app
from lab.services.product import Delivery, Product, Settings
from lab.services.products import PRODUCTS, UnknownProduct, product_named
from lab.services.service import Service
from lab.services.verifier import read_verifier
from shared.clock import time_now

__all__ = ["PRODUCTS", "Attempt", "EmulatedService", "UnknownProduct"]


class NoAttempt(LookupError):
    """No sign-in has arrived since the last reset."""


class EmulatedService(Served):
    """Runs in a thread of this process, from `start` to `stop` or within a `with`.

    *name* is the product. *key* is the shared secret, or the identity provider's public key, as text or as a key
    object. If *key* is None, a key is generated, which the property `key` returns. By default, *algorithm* is the key's
    usual algorithm. *login_url* and *logout_url* are the URLs that an administrator enters at the product. *people* are
    the e-mail addresses that have an account; only a product that creates no accounts (LoginRadius) checks them.
    *clock* returns the seconds since 1970; the default is the clock that `lab.clock` moves. Raises UnknownProduct,
    KeyUnreadable.
    """

    def __init__(
        self,
        name: str,
        key: str | ForgingKey | None = None,
        port: int = 0,
        *,
        algorithm: str = "",
        login_url: str = "",
        logout_url: str = "",
        people: Sequence[str] = (),
        clock: Callable[[], float] = time_now,
    ) -> None:
        product = product_named(name)
        self._key = _made_key(product) if key is None else key
        verifier = read_verifier(self._key, product.algorithms, algorithm)
        self._service = Service(product, verifier, Settings(login_url, logout_url, tuple(people)), clock)
        self._server = ServerThread(create_app(self._service), port)

    @property
    def product(self) -> Product:
        """The emulated product, with its rules."""
        return self._service.product

    @property
    def key(self) -> ForgingKey:
        """The key with which the identity provider signs. Raises KeyUnreadable if only its public half is known."""
        return self._key if isinstance(self._key, ForgingKey) else read_key(self._key, self._service.verifier.algorithm)

    @property
    def url(self) -> str:
        """Its origin. Its front page says who is signed in."""
        return self._server.url

    @property
    def token_url(self) -> str:
        """The URL to which tokens are sent: a setting of the identity provider."""
        return self.url + self.product.token_path

    @property
    def start_url(self) -> str:
        """The URL at which a sign-in begins; it needs a login URL."""
        return self.url + self.product.start_path

    @property
    def parameter(self) -> str:
        """The name of the token's parameter."""
        return self.product.parameter

    @property
    def delivery(self) -> Delivery:
        """How the token must be delivered: "query" or "form"."""
        return self.product.deliveries[0]

    @property
    def attempts(self) -> Sequence[Attempt]:
        """The sign-ins that were tried since the last `reset`, oldest first."""
        return self._service.memory.attempts

    def last(self) -> Attempt:
        """Return the last sign-in that was tried. Raises NoAttempt."""
        if not self.attempts:
            raise NoAttempt("no sign-in has arrived yet")
        return self.attempts[-1]

    def connect(self, *, login_url: str = "", logout_url: str = "") -> None:
        """Set the URLs for sign-in and sign-out at the identity provider. An omitted URL stays unchanged."""
        settings = self._service.settings
        settings.login_url = login_url or settings.login_url
        settings.logout_url = logout_url or settings.logout_url

    def disconnect(self) -> None:
        """Forget the URLs for sign-in and sign-out."""
        self._service.settings.login_url = self._service.settings.logout_url = ""

    def reset(self) -> None:
        """Forget sign-ins, spent tokens and attempts; keep the settings and the port."""
        self._service.memory.reset()


def _made_key(product: Product) -> ForgingKey:
    return new_key("HS256" if "HS256" in product.algorithms else product.algorithms[0])
