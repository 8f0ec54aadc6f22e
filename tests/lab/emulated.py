"""A sign-in at an emulated service, good or as a test wants it."""

from base64 import b64decode, b64encode
from urllib.parse import parse_qsl, urlencode, urlsplit

import httpx

from lab.drafts import Draft, draft
from lab.forging import ForgingKey, key_for
from lab.service_provider import PRODUCTS, EmulatedService
from lab.services.discourse import sign

KEYS = {name: key_for("RS256" if name == "freshworks" else "HS256") for name in PRODUCTS}
OTHER_KEYS = {name: key_for(key.algorithm, "another holder") for name, key in KEYS.items()}
IDP = "https://idp.example"
LOGIN_URL, LOGOUT_URL = f"{IDP}/login", f"{IDP}/logout"
ALICE = "alice@example.org"


class SignIn:
    """A sign-in that a browser has begun at the service, and that ends as a test wants it."""

    def __init__(self, service: EmulatedService, client: httpx.Client) -> None:
        self.service, self.client = service, client
        self.name = service.product.name
        begun = client.get(service.start_url)
        assert begun.status_code == 302
        self.asked = dict(parse_qsl(urlsplit(begun.headers["location"]).query))

    def good(self, key: ForgingKey | None = None) -> Draft:
        """Return a good token, before it is signed."""
        claims = {"id": "4711", "nonce": self.asked.get("nonce", "")}
        return draft(key or KEYS[self.name], claims, email=ALICE)

    def send(self, token: str | None = None, *more: str, method: str = "", **parameters: str) -> httpx.Response:
        """Deliver a token, the good one by default, as the service wants it or as a test says."""
        if self.name == "discourse" and token is None:
            return self.deliver(self.members())
        method = method or ("POST" if self.service.delivery == "form" else "GET")
        query = {"state": self.asked["state"]} if "state" in self.asked else {}
        query = {name: value for name, value in {**query, **parameters}.items() if value}
        values = [self.good().token() if token is None else token, *more]
        fields = {self.service.parameter: [value for value in values if value]}
        if method == "GET":
            return self.client.get(self.service.token_url, params={**query, **fields})
        return self.client.request(method, self.service.token_url, params=query, data=fields)

    def members(self, **changed: str) -> dict[str, str]:
        """Return what a good payload of Discourse says."""
        asked = dict(parse_qsl(b64decode(self.asked["sso"]).decode()))
        return {"nonce": asked["nonce"], "external_id": "4711", "email": ALICE, **changed}

    def deliver(self, members: dict[str, str], key: ForgingKey | None = None, method: str = "GET") -> httpx.Response:
        """Send a payload of Discourse; an empty member is left out."""
        query = urlencode({name: value for name, value in members.items() if value})
        payload = b64encode(query.encode()).decode()
        signature = sign(payload, (key or KEYS[self.name]).secret.encode())
        return self.client.request(method, self.service.token_url, params={"sso": payload, "sig": signature})
