"""What an administrator should know about settings that are allowed, and may not be what was meant.

Pure. A setting that can never be right is a mistake, and refused by `sp.providers.provider`. What is named here works,
but lets somebody in, or keeps people out, in a way that is easily overlooked.
"""

from __future__ import annotations

from collections.abc import Iterator

from sp.providers.provider import Provider, is_safe_address


def risks_of(provider: Provider) -> list[str]:
    """Return one sentence for each risk."""
    return [*_of_strangers(provider), *_of_shutting_out(provider)]


def _of_strangers(provider: Provider) -> Iterator[str]:
    """Yield what may let in, or show to others, what should not be."""
    for name in ("login_url", "logout_url", "return_url", "error_url"):
        address = getattr(provider, name)
        if address.startswith("http:") and not is_safe_address(address):
            yield f"{name} uses http: anyone on the way can read and change what passes. Use https."
    if provider.allow_short_secret:
        yield "A secret that is shorter than its hash is allowed: it can be guessed off line. Use a longer one."
    if provider.unsolicited == "accept":
        yield "Sign-ins that nobody asked for are accepted: a stranger can sign people in to his own account."
    elif _needs_no_nonce(provider):
        yield (
            "A nonce is not required: while a person's own sign-in is under way, a foreign page can bring a token of "
            "another account in its place. If the identity provider sends the nonce back (a trial sign-in tells), "
            "require it."
        )
    if provider.strict and not (provider.issuer.expected and provider.audience.expected):
        yield "Issuer and audience are required, but no expected value is set for both."
    if "query" in provider.deliveries and "form" not in provider.deliveries:
        yield "Tokens come in the address only, where logs and histories see them. Allow the form as well."


def _needs_no_nonce(provider: Provider) -> bool:
    """Tell whether a browser can begin a sign-in there, and a token without a nonce can answer it."""
    required = provider.require_nonce or "nonce" in provider.required_claims
    return bool(provider.login_url) and provider.deliveries != ("header",) and not required


def _of_shutting_out(provider: Provider) -> Iterator[str]:
    """Yield what may keep people out who should come in, or part them from their accounts."""
    if not provider.login_url:
        yield "There is no login URL: people can come from the identity provider, but cannot be sent to it."
    elif provider.deliveries == ("header",):
        yield (
            "Tokens are taken from the Authorization header only, and no browser can bring one there: whoever is sent "
            "to the login URL comes back and is refused. Allow the form or the query, or clear the login URL."
        )
    if provider.expiry_adjustment <= -provider.max_age:
        yield (
            f"exp is shortened by {-provider.expiry_adjustment} seconds, and no token may be older than "
            f"{provider.max_age}: a token that is made for no longer than that has expired before it comes."
        )
    matching = dict(provider.mapping)
    if provider.update_email and set(matching.get("id", ())) <= set(matching.get("email", ())):
        yield (
            "People are known by their e-mail address, and the address is to be updated: whoever gets another one is "
            "somebody else here, with a new account. Match id with a claim that stays, such as sub."
        )
