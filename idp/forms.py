"""The sign-in form. Passwords may be pasted; only their length is validated here."""

from __future__ import annotations

from flask_wtf import FlaskForm
from wtforms import BooleanField, EmailField, PasswordField, SubmitField
from wtforms.validators import InputRequired, Length

from shared.passwords import MAX_PASSWORD_LENGTH


class SignInForm(FlaskForm):  # type: ignore[misc]  # the package ships no types
    """E-mail, password, and whether to stay signed in."""

    email = EmailField(
        "E-mail address",
        [InputRequired("Enter your e-mail address."), Length(max=254, message="This e-mail address is too long.")],
        render_kw={"autocomplete": "username", "autocapitalize": "none", "spellcheck": "false"},
    )
    password = PasswordField(
        "Password",
        [
            InputRequired("Enter your password."),
            Length(max=MAX_PASSWORD_LENGTH, message="This password is too long."),
        ],
        render_kw={"autocomplete": "current-password"},
    )
    stay = BooleanField("Stay signed in on this device")
    submit = SubmitField("Sign in")
