"""Decide which identity provider signs in a person whose request names none.

If there is a default provider, it signs in everyone, and people need not choose. If there is none, and several
providers are enabled, the person chooses a provider, or the domain of the person's e-mail selects it.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sp.emails import email_as_id
from sp.providers.provider import Provider


@dataclass(frozen=True)
class Offer:
    """The providers that a person can choose.

    `shown` are the providers with a button. `by_domain` has each e-mail domain that exactly one provider lists, with
    that provider. `must_choose` is False if there is a default provider, if only one provider is enabled, or if there
    is nothing to choose from.
    """

    shown: tuple[Provider, ...]
    by_domain: Mapping[str, Provider]
    must_choose: bool

    @classmethod
    def of(cls, providers: Iterable[Provider]) -> Offer:
        """Return the choice among *providers*.

        A provider without a login URL is left out, because the gateway cannot start a sign-in there.
        """
        everyone = tuple(providers)
        enabled = [provider for provider in everyone if provider.enabled]
        usable = [provider for provider in enabled if provider.login_url]
        shown = tuple(provider for provider in usable if provider.show_on_login)
        by_domain = _by_domain(usable)
        has_default = any(provider.default for provider in everyone)
        return cls(shown, by_domain, not has_default and len(enabled) > 1 and bool(shown or by_domain))

    def named(self, name: str) -> Provider | None:
        """Return the provider *name* if a person can choose it, or None."""
        return next((provider for provider in (*self.shown, *self.by_domain.values()) if provider.name == name), None)

    def for_email(self, email: str) -> Provider | None:
        """Return the provider that alone lists the domain of *email*, or None. The part before the @ is not read.

        Only the case of ASCII letters is ignored, as when the setting `email_domains` is checked in a sign-in.
        """
        return self.by_domain.get(email_as_id(email.strip()).rpartition("@")[2])

    def settled(self, remembered: str) -> Provider | None:
        """Return the provider for a person who must choose, if the choice is clear without a question, or None.

        It is clear if only one provider is shown, or if the browser *remembered* one that can still be chosen.
        """
        return self.shown[0] if len(self.shown) == 1 else self.named(remembered)


def _by_domain(providers: Iterable[Provider]) -> dict[str, Provider]:
    pairs = [(domain, provider) for provider in providers for domain in set(provider.email_domains)]
    times = Counter(domain for domain, _provider in pairs)
    return {domain: provider for domain, provider in pairs if times[domain] == 1}
