"""A Flask application protected in process: one line at the end does it.

    SP_CONFIG=gateway.toml gunicorn --forwarder-headers= --forwarded-allow-ips= examples.flask_app.app:application

The settings are those of the gateway (docs/deploying.md). gunicorn is configured to trust no peer, because trust is
the gateway's decision.
"""

from flask import Flask, request
from markupsafe import escape

from lychgate import Gateway

app = Flask(__name__)


@app.get("/", defaults={"path": ""})
@app.get("/<path:path>")
def page(path: str) -> str:
    """Say who is there. Only the gateway can write environ["sso.user"]; no header becomes such a key."""
    person = request.environ.get("sso.user")
    if person is None:  # only where a rule says `allow = "anyone"`
        return "<!doctype html><title>Flask</title><h1>Flask</h1><p>Nobody is signed in.</p>"
    groups = ", ".join(person["groups"]) or "none"
    return (
        f"<!doctype html><title>Flask</title><h1>Flask</h1><p>You are <b>{escape(person['email'])}</b>.</p>"
        f'<p>Groups: {escape(groups)}. You asked for /{escape(path)}. <a href="/logout">Sign out</a></p>'
    )


application = Gateway(app)
