"""Let a person choose an identity provider, by a button or by the domain of an e-mail address, and remember the choice.

The page passes `return_to` on without validating it, because /sso/start decides where a browser may return to. The
buttons are links, and the answer to the form is a page, not a redirect. The reason is that browsers apply form-action
of the Content-Security-Policy to every redirect after a form, and an identity provider may redirect to hosts that we do
not know.
"""

from __future__ import annotations

from flask import Blueprint, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response
from wtforms import HiddenField, StringField
from wtforms.validators import InputRequired, Length

from shared.phrases import N_
from shared.web import page
from sp.current import components
from sp.providers.choice import Offer
from sp.providers.provider import Provider
from sp.redirects import MAX_LENGTH
from sp.request.kind import is_from_elsewhere, is_of_a_window

views = Blueprint("choice", __name__)
MAX_CARRIED = MAX_LENGTH + 300  # characters: one of our paths, with an origin in front
UNKNOWN_DOMAIN = N_("No sign-in is known for the domain of this e-mail address. Check it, or sign in in another way.")


class EmailForm(FlaskForm):  # type: ignore[misc]
    """An e-mail address, of which only the domain is read.

    The CSRF token prevents other sites from choosing a provider.
    """

    email = StringField(
        N_("E-mail address"),
        [
            InputRequired(N_("Enter your e-mail address.")),
            Length(max=254, message=N_("This e-mail address is too long.")),
        ],
    )
    return_to = HiddenField()


def provider_for(name: str | None) -> Provider | None:
    """Return the provider that a sign-in starts with, or None if the person must choose.

    It is the provider in the URL. If the URL names none, it is the default provider, or the only enabled provider. If
    there is no default provider and several are enabled, it is the only one with a button, or the one that this browser
    remembers, if it can still be chosen. Raises ProviderUnknown, ProviderDisabled.
    """
    if name is None and (offer := _offer()).must_choose:
        return offer.settled(remembered())
    return components().provider_registry.get(name).provider


def ask_for_provider() -> ResponseReturnValue:
    """Redirect to the page where the person chooses."""
    return redirect(url_for("choice.show", return_to=_return_to()), 303)


def remembered() -> str:
    """Return the name of the provider that the person chose in this browser, or an empty text."""
    return components().remembered_providers.read(request.environ.get("HTTP_COOKIE", ""))


@views.get("/sso/choose")
def show() -> ResponseReturnValue:
    """Show the providers to choose from."""
    offer = _offer()
    if not offer.shown and not offer.by_domain:
        return redirect(url_for("signin.login", no_sso="", return_to=_return_to()), 303)
    response = _page(offer, EmailForm(formdata=None))
    if (name := remembered()) and offer.named(name) is None:
        components().remembered_providers.forget(response)
    return response


@views.get("/sso/choose/<name>")
def choose(name: str) -> ResponseReturnValue:
    """Start a sign-in with the provider. Remember the provider if the person chose it here.

    It is not remembered if it cannot be chosen, if a page of another origin caused the request, or if the request is
    not for a whole window.
    """
    response = redirect(url_for("sso.start", provider_name=name, return_to=_return_to()), 303)
    chosen_here = is_of_a_window(request.environ) and not is_from_elsewhere(request.environ)
    if chosen_here and (provider := _offer().named(name)) is not None:
        components().remembered_providers.remember(response, provider.name)
    return response


@views.post("/sso/choose")
def by_email() -> ResponseReturnValue:
    """Redirect to the provider of the e-mail's domain. The answer is the same for every e-mail address of a domain."""
    offer, form = _offer(), EmailForm()
    if not form.validate_on_submit():
        expired = "csrf_token" in form.errors
        return _page(offer, form, 400, problem=N_("This form has expired. Send it again.") if expired else "")
    provider = offer.for_email(form.email.data)
    if provider is None:
        return _page(offer, form, problem=UNKNOWN_DOMAIN)
    onward = url_for("choice.choose", name=provider.name, return_to=_return_to())
    response = page("sp/chosen.html", provider=provider, onward=onward)
    response.headers["Refresh"] = f"0; url={onward}"
    return response


def _page(offer: Offer, form: EmailForm, status: int = 200, *, problem: str = "") -> Response:
    form.return_to.data = _return_to()
    return page("sp/choose.html", status, offer=offer, form=form, return_to=form.return_to.data, problem=problem)


def _return_to() -> str | None:
    """Return the requested return page unchanged, or None if it is missing, or too long to be a page of ours."""
    asked_for = request.values.get("return_to", "")
    return asked_for if 0 < len(asked_for) <= MAX_CARRIED else None


def _offer() -> Offer:
    return Offer.of(trusted.provider for trusted in components().provider_registry.all())
