"""The sign-in form. Passwords may be pasted; only their length is validated here."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import BooleanField, EmailField, PasswordField
from wtforms.validators import InputRequired, Length

from shared.passwords import MAX_PASSWORD_LENGTH
from shared.phrases import N_


class SignInForm(FlaskForm):  # type: ignore[misc]  # the package ships no types
    """E-mail, password, and whether to stay signed in."""

    email = EmailField(
        N_("E-mail address"),
        [
            InputRequired(N_("Enter your e-mail address.")),
            Length(max=254, message=N_("This e-mail address is too long.")),
        ],
        render_kw={"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"},
    )
    password = PasswordField(
        N_("Password"),
        [
            InputRequired(N_("Enter your password.")),
            Length(max=MAX_PASSWORD_LENGTH, message=N_("This password is too long.")),
        ],
        render_kw={"autocomplete": "current-password"},
    )
    stay = BooleanField(N_("Stay signed in on this device"))
