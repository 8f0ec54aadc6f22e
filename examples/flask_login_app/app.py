"""A Flask application with Flask-Login, whose `current_user` is the person who is signed in to the gateway.

    SP_CONFIG=gateway.toml gunicorn --forwarder-headers= --forwarded-allow-ips= examples.flask_login_app.app:application

Flask-Login asks the gateway at each request and keeps no session, so a sign-out takes effect at once. The gateway's
`User` has the methods that Flask-Login expects.
"""

from flask import Flask
from flask_login import LoginManager, current_user, login_required
from markupsafe import Markup

import lychgate

app = Flask(__name__)
login_manager = LoginManager(app)
login_manager.request_loader(lychgate.current_user)


@app.get("/staff")
@lychgate.require_group("staff")
def staff() -> dict[str, object]:
    """Greet the members of one group; everyone else gets 403."""
    return {"id": current_user.get_id(), "email": current_user.email, "groups": current_user.groups}


@app.get("/members")
@login_required
def members() -> str:
    """Greet a signed-in person. Flask-Login answers 401 to visitors; SP_SIGN_IN_ON_401 starts a sign-in instead."""
    return f"Hello {current_user.name}"


@app.get("/", defaults={"path": ""})
@app.get("/<path:path>")
def page(path: str) -> str:
    """Show who is signed in. A visitor comes here only if a rule has `allow = "anyone"`."""
    if not current_user.is_authenticated:
        return "<!doctype html><title>Flask-Login</title><h1>Flask-Login</h1><p>You are not signed in.</p>"
    return Markup(
        "<!doctype html><title>Flask-Login</title><h1>Flask-Login</h1><p>You are <b>{}</b>.</p>"
        '<p>You asked for /{}. <a href="/account">Your account</a> <a href="/logout">Sign out</a></p>'
    ).format(current_user.email, path)


application = lychgate.Gateway(app)
