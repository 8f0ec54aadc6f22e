"""Define the gateway's own URL paths. All other paths belong to the protected application (docs/protocol.md).

Access rules do not apply to the gateway's own paths. Each view decides who may use it.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote

from sp.redirects import own_path

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
    "/settings",
    "/settings/sso/jwt",
    "/settings/users",
    "/settings/activity",
    "/settings/policy",
)
PREFIXES = (
    "/sso/",
    "/access/jwt/",
    "/account/",
    "/settings/sso/jwt/",
    "/settings/users/",
    "/settings/activity/",
)
HOME = "home"  # the name of the site of SP_EXTERNAL_URL
TOUR = "/tour"
FOR_MACHINES = ("/healthz", "/readyz", "/metrics")  # programs often call them by IP instead of host name
NGINX = "/sso/auth/nginx"
FORWARD = "/sso/auth/forward"
ERROR_PAGE = "/access/jwt/error"
SIGN_IN = ("/sso/", "/access/jwt/")  # beginnings of paths that are steps of a sign-in


@dataclass(frozen=True)
class Routes:
    """The gateway's own paths. *prefix* is SP_PREFIX, which is empty, or /name without a slash at its end.

    *origin* is SP_EXTERNAL_URL, for code that needs an absolute URL of the gateway. Only a *demo* has the tour.
    """

    prefix: str = ""
    origin: str = ""
    demo: bool = False

    @property
    def exact(self) -> frozenset[str]:
        """The exact paths that belong to the gateway. If there is a prefix, it is empty, because `prefixes` has all."""
        return frozenset() if self.prefix else frozenset((*EXACT, TOUR) if self.demo else EXACT)

    @property
    def prefixes(self) -> tuple[str, ...]:
        """The beginnings of paths that belong to the gateway. If there is a prefix, every path below it does."""
        if self.prefix:
            return (self.prefix + "/",)
        return (*PREFIXES, f"{TOUR}/") if self.demo else PREFIXES

    def at(self, *paths: str) -> tuple[str, ...]:
        """Return *paths* with the prefix added."""
        return tuple(self.prefix + path for path in paths)

    def include(self, path: str) -> bool:
        """Tell whether *path* belongs to the gateway."""
        return path.startswith(self.prefixes) or path in self.exact

    def path_at(self, url: str) -> str | None:
        """Return the path of *url*, completely decoded, without the query and the fragment.

        *url* is a path or an absolute URL. Return None if it is empty, leads to another site or has a path that is not
        plain.
        """
        path = own_path(url, self.origin)
        if path is None:
            return None
        path = re.split(r"[?#]", path, maxsplit=1)[0]
        while (decoded := unquote(path, errors="replace")) != path:
            path = decoded
        return path

    def is_error_page(self, path: str) -> bool:
        """Tell whether *path* is the gateway's error page. Settings and presets may name it without the prefix."""
        return path in (ERROR_PAGE, *self.at(ERROR_PAGE))

    def is_sign_in(self, path: str) -> bool:
        """Tell whether *path* begins like the steps of a sign-in, which redirect the browser further."""
        return f"{path}/".startswith(self.at(*SIGN_IN))

    def meet(self, rule_path: str) -> str | None:
        """Return a path of the gateway that the prefix *rule_path* covers, or None."""
        everything = self.at(*EXACT, *PREFIXES) if not self.prefix else self.prefixes
        return next((path for path in everything if path.startswith(rule_path)), None)
