"""A Flask application that the gateway protects in the same process: the last line of this file adds the gateway.

    SP_CONFIG=gateway.toml gunicorn --forwarder-headers= --forwarded-allow-ips= examples.flask_app.app:application

Configure it with the settings of the gateway (docs/deploying.md). gunicorn is configured to trust no peer, because the
gateway decides which proxies to trust.
"""

from flask import Flask, request
from markupsafe import escape

from lychgate import Gateway

app = Flask(__name__)


@app.get("/", defaults={"path": ""})
@app.get("/<path:path>")
def page(path: str) -> str:
    """Show who is signed in. Only the gateway can write environ["sso.user"]; no header can set this key."""
    person = request.environ.get("sso.user")
    if person is None:  # only if a rule has `allow = "anyone"`
        return "<!doctype html><title>Flask</title><h1>Flask</h1><p>You are not signed in.</p>"
    groups = ", ".join(person["groups"]) or "none"
    return (
        f"<!doctype html><title>Flask</title><h1>Flask</h1><p>You are <b>{escape(person['email'])}</b>.</p>"
        f'<p>Groups: {escape(groups)}. You asked for /{escape(path)}. <a href="/logout">Sign out</a></p>'
    )


application = Gateway(app)
