"""Give the pages of the gateway and the identity provider their look: name, logo, colour, and light or dark.

Whether a page is light or dark follows the browser's preference. At the foot of each page, except the answer to a form,
a person can choose light or dark, and a cookie keeps the choice. The program itself serves all files that a page loads.
The colour is in a stylesheet, because pages have no inline styles.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from hashlib import sha256

from flask import Blueprint, Flask, Response, redirect, request, url_for
from werkzeug.wrappers import Response as WerkzeugResponse

from shared.branding import PRODUCT, Branding
from shared.colours import stylesheet
from shared.cookies import clear_cookie, full_name, set_cookie
from shared.images import Logo
from shared.tokens import redact

THEMES = ("auto", "light", "dark")  # auto follows the browser, and has no cookie
THEME_SECONDS = 31_536_000  # a year: how long a browser keeps the choice
CACHE_SECONDS = 86_400
MAX_PATH = 2048  # characters
# An SVG may contain scripts. In an <img> they never run; this policy is for a person who opens the URL of the SVG.
LOGO_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
HERE = "lychgate.here"  # in the environ: the path that the person requested, if another path renders the page
_OWN_PATH = re.compile(r"/(?:[!-\[\]-~]*)\Z", re.ASCII)  # printable ASCII without the space and the backslash


@dataclass(frozen=True)
class Look:
    """The values that base.html uses.

    *cookie* is the full name of the cookie that keeps the choice of light or dark.
    """

    branding: Branding
    role: str
    cookie: str

    @property
    def name(self) -> str:
        """Return the name of the site."""
        return self.branding.name or PRODUCT

    @property
    def theme(self) -> str:
        """Return the theme that was chosen in this browser. An unknown value counts as auto."""
        chosen = request.cookies.get(self.cookie, "")
        return chosen if chosen in THEMES else THEMES[0]

    @property
    def icon_url(self) -> str:
        """Return the URL of the logo. It changes with the logo, because browsers keep it for a day."""
        logo = self.branding.logo
        if logo is None:
            return url_for("ui.static", filename="lychgate.svg")
        return url_for("ui.logo", v=_version(logo.content))

    @property
    def icon_type(self) -> str:
        """Return the media type of the logo."""
        return self.branding.logo.media_type if self.branding.logo else "image/svg+xml"

    @property
    def colours_url(self) -> str:
        """Return the URL of the stylesheet with the accent colour, or an empty text if no colour is set."""
        colour = self.branding.colour
        return url_for("ui.colours", v=colour[1:]) if colour else ""

    @property
    def can_return(self) -> bool:
        """Tell whether the browser gets the same page if it loads this page again.

        The answer to a form cannot be loaded again. Such an answer may show a key that is shown only once, so it has no
        buttons that lead away from the page.
        """
        return request.method in ("GET", "HEAD")

    @property
    def here(self) -> str:
        """Return the path and query of this page, to return to it later. A query with a token is left out."""
        given = request.environ.get(HERE)
        path = given if isinstance(given, str) else request.full_path.rstrip("?")
        path = path if redact(path) == path else path.partition("?")[0]
        return path if is_own_path(path) else "/"


def add_views(ui: Blueprint, prefix: str, look: Look, *, https: bool) -> None:
    """Add the URLs of the look to the blueprint of the common pages."""
    logo, colour = look.branding.logo, look.branding.colour
    if logo:
        ui.add_url_rule(f"{prefix}/look/logo", "logo", lambda: image_response(logo))
    if colour:
        css = stylesheet(colour)
        ui.add_url_rule(f"{prefix}/look/colours.css", "colours", lambda: _kept(Response(css, mimetype="text/css")))

    @ui.post(f"{prefix}/look/theme")
    def theme() -> WerkzeugResponse:
        """Keep the chosen theme in a cookie, and return to the page.

        The form has no CSRF token, because every page with such a form would have to set a cookie. Instead, this
        function reads the header Sec-Fetch-Site, which says whether the form comes from this site.
        """
        back, chosen = request.form.get("back", ""), request.form.get("theme", "")
        response = redirect(back if is_own_path(back) else "/", 303)
        if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
            return response
        if chosen in THEMES[1:]:
            set_cookie(response, look.cookie, chosen, https=https, max_age=THEME_SECONDS)
        else:
            clear_cookie(response, look.cookie, https=https)
        return response


def install_look(app: Flask, branding: Branding, *, role: str, cookie: str, https: bool) -> Look:
    """Make the look available to the templates of *app*."""
    look = Look(branding, role, full_name(cookie, https))
    app.jinja_env.globals["look"] = look
    return look


def is_own_path(path: str) -> bool:
    """Tell whether a browser that is redirected to *path* stays on this site."""
    bare = path.partition("?")[0]
    return len(path) <= MAX_PATH and bool(_OWN_PATH.match(path)) and "//" not in bare and "/." not in bare


def image_response(logo: Logo) -> Response:
    """Return an operator's image. Browsers may cache it, because its URL changes with its content."""
    response = _kept(Response(logo.content, mimetype=logo.media_type))
    response.headers["Content-Security-Policy"] = LOGO_POLICY
    return response


def _kept(response: Response) -> Response:
    response.cache_control.public = True
    response.cache_control.max_age = CACHE_SECONDS
    return response


def _version(content: bytes) -> str:
    return sha256(content).hexdigest()[:12]
