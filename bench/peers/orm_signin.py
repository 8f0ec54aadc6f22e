"""A sign-in by token as a Flask tutorial writes it: Flask-SQLAlchemy's ORM, Flask-Login, and two commits.

Same database settings (WAL, synchronous=FULL), same server, same checks of iat, exp and a single use of the jti, and
the same rows: spent token, account, identity, session and a line of the sign-in log.
"""

from __future__ import annotations

import json
import os
import secrets
import time
from datetime import UTC, datetime, timedelta
from typing import Any

from flask import Flask, redirect, request
from flask.typing import ResponseReturnValue
from flask_login import LoginManager, UserMixin, login_user
from flask_sqlalchemy import SQLAlchemy
from joserfc import jwt
from joserfc.jwk import OctKey
from sqlalchemy import event
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from shared.serving import Server


class Base(DeclarativeBase):
    pass


db = SQLAlchemy(model_class=Base)


class User(UserMixin, Base):  # type: ignore[misc]
    __tablename__ = "user"
    id: Mapped[int] = mapped_column(primary_key=True)
    email: Mapped[str] = mapped_column(unique=True)
    given_name: Mapped[str | None]
    family_name: Mapped[str | None]
    last_sign_in_at: Mapped[datetime | None]


class Identity(Base):
    __tablename__ = "identity"
    subject: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int]
    issued_at: Mapped[int]


class Session(Base):
    __tablename__ = "session"
    id: Mapped[str] = mapped_column(primary_key=True)
    user_id: Mapped[int]
    claims: Mapped[str]
    created_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    address: Mapped[str]
    user_agent: Mapped[str]


class UsedToken(Base):
    __tablename__ = "used_token"
    jti: Mapped[str] = mapped_column(primary_key=True)
    expires_at: Mapped[int]


class SignIn(Base):
    __tablename__ = "sign_in"
    id: Mapped[int] = mapped_column(primary_key=True)
    user_id: Mapped[int]
    at: Mapped[datetime]
    address: Mapped[str]


def create_wsgi() -> Flask:
    """Return the application; the secret and the database are named by the environment."""
    app = Flask(__name__)
    app.config.update(SECRET_KEY="s" * 48, SQLALCHEMY_DATABASE_URI=os.environ["PEER_DATABASE_URL"])
    db.init_app(app)
    manager = LoginManager(app)
    secret = os.environ["PEER_TOKEN_KEY"]

    @manager.user_loader  # type: ignore[untyped-decorator]
    def load_user(user_id: str) -> User | None:
        return db.session.get(User, int(user_id))

    with app.app_context():

        @event.listens_for(db.engine, "connect")
        def durable(connection: Any, _record: Any) -> None:
            connection.execute("PRAGMA journal_mode=WAL")
            connection.execute("PRAGMA synchronous=FULL")

        db.create_all()

    @app.post("/sso/login/jwt")
    def sign_in() -> ResponseReturnValue:
        token = jwt.decode(request.form["jwt"], OctKey.import_key(secret), algorithms=["HS256"])
        claims = token.claims
        if not claims["iat"] - 30 <= time.time() < claims["exp"] + 30:
            return "expired", 401
        try:
            db.session.add(UsedToken(jti=claims["jti"], expires_at=claims["exp"]))
            db.session.commit()
        except IntegrityError:
            db.session.rollback()
            return "used before", 401
        identity = db.session.get(Identity, claims["email"])
        if identity is None:
            user = User(email=claims["email"])
            db.session.add(user)
            db.session.flush()
            identity = Identity(subject=claims["email"], user_id=user.id, issued_at=claims["iat"])
            db.session.add(identity)
        else:
            user = db.session.get_one(User, identity.user_id)
        now = datetime.now(UTC)
        user.given_name, user.family_name = claims["given_name"], claims["family_name"]
        user.last_sign_in_at, identity.issued_at = now, claims["iat"]
        address, agent = request.remote_addr or "", request.user_agent.string
        ends = now + timedelta(hours=12)
        db.session.add(
            Session(
                id=secrets.token_urlsafe(32),
                user_id=user.id,
                claims=json.dumps(claims),
                created_at=now,
                expires_at=ends,
                address=address,
                user_agent=agent,
            )
        )
        db.session.add(SignIn(user_id=user.id, at=now, address=address))
        db.session.commit()
        login_user(user)
        return redirect("/", 303)

    return app


if __name__ == "__main__":
    Server(create_wsgi, "127.0.0.1", int(os.environ["PEER_PORT"]), 1).run()
