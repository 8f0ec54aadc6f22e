"""Begin a sign-in at a further site: remember the requested page, and ask home for a ticket."""

from __future__ import annotations

from urllib.parse import urlencode

from flask import redirect, request, url_for
from flask.typing import ResponseReturnValue

from sp.current import components, current_site
from sp.views import redirect_loops as loops
from sp.views.opening import page_of_ours, require_window


def begin_hand_over(provider_name: str | None) -> ResponseReturnValue:
    """Begin a hand-over at the further site of this request. At such a site, `/sso/start` calls this function."""
    site, core = current_site(), components()
    require_window()
    if request.method == "HEAD":
        return "", 200
    return_to = page_of_ours(request.args.get("return_to")) or "/"
    home = core.rulebook.current.home
    if provider_name is not None:  # the link names a provider: sign in at home, which leads back to the page
        page = f"{site.url}{return_to}" if return_to.startswith("/") else return_to
        start = url_for("sso.start", provider_name=provider_name)
        return redirect(f"{home.url}{start}?{urlencode({'return_to': page})}", 303)
    loops.break_circle_at(site, return_to)
    response = redirect("/", 303)
    begun = core.hand_overs.begin(response, request.cookies, site.name, return_to)
    response.location = f"{home.url}{url_for('sites.hand_over', site=site.name, state=begun.state)}"
    return response
