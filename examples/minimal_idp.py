"""A minimal identity provider: authentication.php and logout.php in one file, with Flask and joserfc only.

    pip install flask joserfc
    export SECRET_KEY=$(openssl rand -base64 48) SERVICE_KEY=$(openssl rand -base64 48) PEOPLE_FILE=people.json
    export SERVICE_URL=https://yourcompany.ispringlearn.com/sso/login/jwt
    flask --app minimal_idp run --port 5001

Give the service SERVICE_KEY and this program's URLs /login-token/ and /logout. PEOPLE_FILE holds
{"alice@example.com": {"password": HASH, "given_name": "Alice", "family_name": "Example"}}; make HASH by
`python -c "import getpass, werkzeug.security as s; print(s.generate_password_hash(getpass.getpass()))"`.
INSECURE_HTTP=1 is for a trial on your own machine, without https. idp/README.md lists what is left out here.
"""

import hmac
import json
import os
import secrets
import time
from pathlib import Path
from urllib.parse import urlencode, urlsplit

from flask import Flask, Response, abort, make_response, redirect, render_template_string, request, session
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from werkzeug.security import check_password_hash, generate_password_hash

SERVICE_URL = os.environ["SERVICE_URL"]  # tokens go only here; never taken from a request
SERVICE_KEY = OctKey.import_key(os.environ["SERVICE_KEY"])
PEOPLE = {email.lower(): person for email, person in json.loads(Path(os.environ["PEOPLE_FILE"]).read_text()).items()}
UNKNOWN = {"password": generate_password_hash(secrets.token_hex())}  # so that an unknown e-mail takes the same time
TOKEN_LIFETIME, SESSION_LIFETIME, MAX_SIGN_OUT_AGE = 60, 8 * 3600, 300  # seconds
HTTPS = "INSECURE_HTTP" not in os.environ
PAGE = """<!doctype html><html lang="en"><meta name="viewport" content="width=device-width"><title>{{ title }}</title>
<main><h1>{{ title }}</h1>{% if text %}<p role="alert">{{ text }}</p>{% endif %}{% if csrf %}<form method="post">
<input type="hidden" name="csrf" value="{{ csrf }}">
<p><label>E-mail <input name="email" type="email" autocomplete="username" required></label>
<p><label>Password <input name="password" type="password" autocomplete="current-password" required></label>
<p><button>Sign in</button></form>{% endif %}</main></html>"""
TARGET = "{0.scheme}://{0.netloc}".format(urlsplit(SERVICE_URL))
HEADERS = {  # no frames or scripts; forms only to us and the service; tokens stay out of caches and Referer
    "Content-Security-Policy": f"default-src 'none'; form-action 'self' {TARGET}; frame-ancestors 'none'",
    **{"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"},
}

app = Flask(__name__)
app.config.update(SECRET_KEY=os.environ["SECRET_KEY"], MAX_CONTENT_LENGTH=16_384, SESSION_COOKIE_SAMESITE="Lax")
app.config.update(SESSION_COOKIE_SECURE=HTTPS, SESSION_COOKIE_NAME="__Host-idp" if HTTPS else "idp")
app.after_request(lambda answer: (answer.headers.update(HEADERS), answer)[1])


@app.route("/login-token/", methods=["GET", "POST"])
def authentication() -> Response:
    """Issue a token to a signed-in person. To anyone else, show the form, and check e-mail and password."""
    if request.method == "GET":  # HEAD must not get a token
        known = session.get("email") in PEOPLE and time.time() - session["since"] < SESSION_LIFETIME
        return send_token(session["email"]) if known else show_form()
    csrf, typed = session.get("csrf") or secrets.token_hex(), request.form.get("csrf", "")
    if not hmac.compare_digest(csrf.encode(), typed.encode()):  # bytes, because non-ASCII text would raise TypeError
        return show_form("This form has expired. Enter your e-mail and password again.", 400)
    email = request.form.get("email", "").strip().lower()
    right = check_password_hash(PEOPLE.get(email, UNKNOWN)["password"], request.form.get("password", ""))
    if not right or email not in PEOPLE:
        return show_form("The e-mail or the password is wrong.", 401)
    session.clear()
    session.update(email=email, since=int(time.time()))
    return send_token(email)


@app.get("/logout")
def logout() -> Response:
    """Sign out the person whom the service's sign-out token names. Any other token gets 401."""
    try:
        token = jwt.decode(request.args.get("jwt", ""), SERVICE_KEY, algorithms=["HS256"])
        email, fresh = str(token.claims["email"]), abs(time.time() - token.claims["iat"]) <= MAX_SIGN_OUT_AGE
    except (JoseError, ValueError, KeyError, TypeError):
        abort(401)
    if not fresh or str(token.header.get("typ", "")).lower() != "logout+jwt":  # a sign-in token cannot sign out
        abort(401)
    if session.get("email") == email.lower():
        session.clear()
    return make_response(render_template_string(PAGE, title="Signed out", text=f"{email} is signed out."))


def send_token(email: str) -> Response:
    """Sign a token that is valid once, for a minute. Send it to the service, with the service's own parameters."""
    now, person = int(time.time()), PEOPLE[email]
    claims = {"iat": now, "jti": secrets.token_urlsafe(16), "exp": now + TOKEN_LIFETIME, "email": email}
    claims |= {name: person[name] for name in ("given_name", "family_name") if name in person}
    echo = {name: request.args[name][:2048] for name in ("nonce", "return_to") if name in request.args}
    claims |= {name: value for name, value in echo.items() if name == "nonce"}
    token = jwt.encode({"alg": "HS256"}, claims, SERVICE_KEY)
    return make_response(redirect(f"{SERVICE_URL}?{urlencode({'jwt': token, **echo})}", 303))


def show_form(problem: str = "", status: int = 200) -> Response:
    session.setdefault("csrf", secrets.token_urlsafe(16))
    return make_response(render_template_string(PAGE, title="Sign in", text=problem, csrf=session["csrf"]), status)
