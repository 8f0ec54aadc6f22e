"""Warn about settings that are valid but risky.

If a setting can never be right, it is an error, and `sp.providers.settings_parser` rejects it. The settings in this
module work, but they may let strangers in, show secrets, or lock people out. Operators easily overlook that.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections.abc import Iterator

from sp.providers.provider import Provider, is_safe_url


def risks_of(provider: Provider) -> list[str]:
    """Return one sentence for each risk."""
    return [*_of_strangers(provider), *_of_shutting_out(provider)]


def _of_strangers(provider: Provider) -> Iterator[str]:
    """Yield the settings that may give strangers access, or show them secrets."""
    for name in ("login_url", "logout_url", "return_url", "error_url"):
        url = getattr(provider, name)
        if url.startswith("http:") and not is_safe_url(url):
            yield f"{name} uses http: anyone on the network path can read and change the traffic. Use https."
    if provider.allow_short_secret:
        yield "A secret shorter than its hash is allowed. It can be guessed offline. Use a longer one."
    if provider.unsolicited == "accept":
        yield "Unsolicited sign-ins are accepted: an attacker can sign other people in to the attacker's account."
    elif _needs_no_nonce(provider):
        yield (
            "A nonce is not required: while a person signs in, another site can sign that person in to the attacker's "
            "account instead. If the report of a test sign-in says that the nonce came back, require it."
        )
    if provider.admin_group:
        yield (
            f"Members of the group {provider.admin_group} administer this gateway when they sign in here. The "
            "identity provider decides who they are."
        )
    if provider.strict and not (provider.issuer.expected and provider.audience.expected):
        yield (
            "Issuer and audience are required, but at least one is compared with nothing. Test a sign-in: the report "
            "offers the values to expect."
        )
    if "query" in provider.deliveries and "form" not in provider.deliveries:
        yield "Tokens arrive only in the URL, so they end up in logs and browser histories. Allow the form as well."


def _needs_no_nonce(provider: Provider) -> bool:
    """Tell whether a browser can start a sign-in at this provider, and a token without a nonce can complete it."""
    required = provider.require_nonce or "nonce" in provider.required_claims
    return bool(provider.login_url) and provider.deliveries != ("header",) and not required


def _of_shutting_out(provider: Provider) -> Iterator[str]:
    """Yield the settings that may lock people out, or separate them from their accounts."""
    if not provider.login_url:
        if provider.unsolicited == "accept":
            yield "The Identity provider URL is missing: only a sign-in that begins at the identity provider works."
        else:
            yield "The Identity provider URL is missing, so no sign-in with this provider works. Enter it."
    elif provider.deliveries == ("header",):
        yield (
            "Tokens are accepted in the Authorization header only, and browsers cannot send them there: people who are "
            "sent to the login URL come back and are rejected. Allow the form or the query, or clear the login URL."
        )
    if provider.expiry_adjustment <= -provider.max_age:
        yield (
            f"exp is shortened by {-provider.expiry_adjustment} seconds, and a token may be at most {provider.max_age} "
            "seconds old: a token with a lifetime up to that has expired before it arrives."
        )
    matching = dict(provider.mapping)
    if provider.update_email and set(matching.get("id", ())) <= set(matching.get("email", ())):
        yield (
            "People are identified by their e-mail address, and update_email is on: a person whose e-mail address "
            "changes gets a new account. Match id with a claim that does not change, such as sub."
        )
