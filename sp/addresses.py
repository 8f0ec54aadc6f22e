"""The gateway's own addresses: everything else belongs to the protected application (wire contract, section 2).

Pure. Rules say nothing about these addresses; each of them decides for itself who may use it.
"""

from __future__ import annotations

from dataclasses import dataclass

EXACT = (
    "/login",
    "/logout",
    "/access/jwt",
    "/account",
    "/api/userinfo",
    "/.well-known/jwks.json",
    "/healthz",
    "/readyz",
    "/metrics",
    "/settings/sso/jwt",
    "/settings/users",
    "/settings/activity",
)
PREFIXES = (
    "/sso/",
    "/access/jwt/",
    "/account/",
    "/settings/sso/jwt/",
    "/settings/users/",
    "/settings/activity/",
)
FOR_MACHINES = ("/healthz", "/readyz", "/metrics")  # asked by address as often as by name
NGINX = "/sso/auth/nginx"
FORWARD = "/sso/auth/forward"


@dataclass(frozen=True)
class OwnAddresses:
    """The addresses below *prefix* (SP_PREFIX: empty, or /name without a slash behind it)."""

    prefix: str = ""

    @property
    def exact(self) -> frozenset[str]:
        """Addresses that are ours as they stand. Below a prefix of its own everything is ours."""
        return frozenset() if self.prefix else frozenset(EXACT)

    @property
    def prefixes(self) -> tuple[str, ...]:
        """Beginnings of addresses that are ours."""
        return (self.prefix + "/",) if self.prefix else PREFIXES

    def at(self, *addresses: str) -> tuple[str, ...]:
        """Return *addresses* where they stand with the prefix."""
        return tuple(self.prefix + address for address in addresses)

    def include(self, path: str) -> bool:
        """Tell whether *path* is ours."""
        return path.startswith(self.prefixes) or path in self.exact

    def meet(self, rule_path: str) -> str | None:
        """Return an address of ours that the prefix *rule_path* reaches over, or None."""
        everything = self.at(*EXACT, *PREFIXES) if not self.prefix else self.prefixes
        return next((address for address in everything if address.startswith(rule_path)), None)
