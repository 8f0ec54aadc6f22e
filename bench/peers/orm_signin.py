"""The same sign-in, written as in a Flask tutorial: with the ORM of Flask-SQLAlchemy, Flask-Login, and two commits.

It uses the same database settings as the gateway (on SQLite: WAL, synchronous=FULL), and the same tables with the same
indexes (sp.database.models). It writes the same rows: the spent token, the account, the identity, the session and a
line of the activity log. joserfc verifies the token. Only the times, the jti and the fields of the person are read from
the claims.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import time
from datetime import UTC, datetime
from typing import Any

from flask import Flask, redirect, request
from flask.typing import ResponseReturnValue
from flask_login import LoginManager, UserMixin, login_user
from joserfc import jwt
from joserfc.jwk import OctKey
from sqlalchemy import create_engine, event
from sqlalchemy.exc import IntegrityError

from sp.database.models import Account, Activity, Identity, SessionRecord, SpentToken, db

LIFETIME = 43_200  # seconds


class Person(UserMixin):  # type: ignore[misc]
    """An account in the form that Flask-Login expects."""

    def __init__(self, account: Account) -> None:
        self.account = account

    def get_id(self) -> str:
        """Return the value for the cookie."""
        return str(self.account.id)


def create_wsgi() -> Flask:
    """Return the application. Environment variables contain the secret and the URL of the database."""
    app = Flask(__name__)
    app.config.update(SECRET_KEY="s" * 48, SQLALCHEMY_DATABASE_URI=os.environ["PEER_DATABASE_URL"])
    db.init_app(app)
    manager = LoginManager(app)
    secret = os.environ["PEER_TOKEN_KEY"]

    @manager.user_loader  # type: ignore[untyped-decorator]
    def load_user(user_id: str) -> Person | None:
        account = db.session.get(Account, int(user_id))
        return Person(account) if account else None

    with app.app_context():
        if db.engine.dialect.name == "sqlite":
            event.listen(db.engine, "connect", _durable)

    @app.post("/sso/login/jwt")
    def sign_in() -> ResponseReturnValue:
        claims = jwt.decode(request.form["jwt"], OctKey.import_key(secret), algorithms=["HS256"]).claims
        if not claims["iat"] - 30 <= time.time() < claims["exp"] + 30:
            return "expired", 401
        key = hashlib.sha256(claims["jti"].encode()).digest()[:16]
        try:
            db.session.add(SpentToken(key=key, expires_at=claims["exp"] + 30))
            db.session.commit()
        except IntegrityError:
            db.session.rollback()
            return "used before", 401
        account = _provision(claims)
        _open_session(account, claims)
        db.session.commit()
        login_user(Person(account))
        return redirect("/", 303)

    return app


def create_tables(url: str) -> None:
    """Create the tables of a peer (this one, or Express on Node.js) in an empty database."""
    engine = create_engine(url)
    db.metadata.create_all(engine)
    engine.dispose()


def _durable(connection: Any, _record: Any) -> None:
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")


def _provision(claims: dict[str, Any]) -> Account:
    now = datetime.now(UTC)
    identity = db.session.get(Identity, ("bench", claims["email"], ""))
    if identity is None:
        account = Account(
            email=claims["email"], email_key=claims["email"].lower(), groups=[], attributes={}, is_active=True,
            is_admin=False, created_at=now,
        )  # fmt: skip
        db.session.add(account)
        db.session.flush()
        identity = Identity(provider="bench", subject=claims["email"], claim="", account_id=account.id, created_at=now)
        db.session.add(identity)
    else:
        account = db.session.get_one(Account, identity.account_id)
    account.given_name, account.family_name = claims["given_name"], claims["family_name"]
    account.last_sign_in_at, identity.issued_at = now, claims["iat"]
    return account


def _open_session(account: Account, claims: dict[str, Any]) -> None:
    now = int(time.time())
    address, user_agent = request.remote_addr or "", request.user_agent.string
    of_person = {"account_id": account.id, "provider": "bench", "subject": claims["email"]}
    db.session.add(
        SessionRecord(
            id_hash=hashlib.sha256(secrets.token_bytes(32)).digest(), public_id=secrets.token_hex(8), kind="browser",
            claims=claims, created_at=now, expires_at=now + LIFETIME, address=address, user_agent=user_agent,
            return_path="/", **of_person,
        )
    )  # fmt: skip
    db.session.add(
        Activity(
            reference=secrets.token_hex(5), at=now, event="sign_in", email=account.email, address=address,
            user_agent=user_agent, **of_person,
        )
    )  # fmt: skip
