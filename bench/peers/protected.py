"""One Flask page, protected by our gateway, by Flask-Login, by Flask-JWT-Extended, by Authlib's client, or not at all.

At the start, the cookie that opens the page is written to the file BENCH_COOKIE.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from authlib.integrations.flask_client import OAuth
from flask import Flask, request, session
from flask.typing import ResponseReturnValue
from flask_jwt_extended import JWTManager, create_access_token, get_jwt_identity, jwt_required
from flask_login import LoginManager, UserMixin, current_user, login_required, login_user
from flask_sqlalchemy import SQLAlchemy
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def unprotected() -> WSGIApplication:
    """Return the page without protection."""
    app = Flask("unprotected")

    @app.get("/reports")
    def reports() -> str:
        return f"reached {request.environ.get('REMOTE_USER', '')}"

    return app


def ours() -> WSGIApplication:
    """Return the page behind the gateway, and open a session in it."""
    from sp import create_app
    from sp.activity.record import Visitor
    from sp.gateway import Gateway
    from sp.signin.opening import Opening

    own = create_app()
    core = own.extensions["lychgate"]
    email, password = "carol@example.com", secrets.token_urlsafe(12)
    core.people.create_administrator(email, password)
    proven = core.people.authenticate(email, password)
    signed_in = core.sign_in.with_password(proven, Opening(Visitor(), secrets.token_hex(5)))
    _show(f"sp_session={signed_in.secret}")
    return Gateway(unprotected(), own)


def flask_login() -> WSGIApplication:
    """Return the page behind Flask-Login, which loads the user through the ORM at each request."""

    class Base(DeclarativeBase):
        pass

    class User(UserMixin, Base):  # type: ignore[misc]
        __tablename__ = "user"
        id: Mapped[int] = mapped_column(primary_key=True)
        email: Mapped[str]

    db = SQLAlchemy(model_class=Base)
    app = Flask("flask_login")
    app.config.update(SECRET_KEY="s" * 48, SQLALCHEMY_DATABASE_URI=f"sqlite:///{_folder() / 'login.sqlite3'}")
    db.init_app(app)
    manager = LoginManager(app)

    @manager.user_loader  # type: ignore[untyped-decorator]
    def load(user_id: str) -> User | None:
        return db.session.get(User, int(user_id))

    @app.get("/reports")
    @login_required  # type: ignore[untyped-decorator]
    def reports() -> str:
        return f"reached {current_user.email}"

    with app.test_request_context():
        db.create_all()
        db.session.add(User(id=1, email="carol@example.com"))
        db.session.commit()
        login_user(db.session.get(User, 1))
        response = app.make_response("")
        app.session_interface.save_session(app, session, response)
    _show(response.headers["Set-Cookie"].partition(";")[0])
    return app


def jwt_extended() -> WSGIApplication:
    """Return the page behind Flask-JWT-Extended with the token in a cookie, which cannot be revoked."""
    app = Flask("jwt_extended")
    app.config.update(JWT_SECRET_KEY="s" * 48, JWT_TOKEN_LOCATION=["cookies"])
    JWTManager(app)

    @app.get("/reports")
    @jwt_required()  # type: ignore[untyped-decorator]
    def reports() -> str:
        return f"reached {get_jwt_identity()}"

    with app.app_context():
        _show(f"access_token_cookie={create_access_token('carol@example.com')}")
    return app


def authlib_client() -> WSGIApplication:
    """Return the page as Authlib's documentation protects it: after the sign-in, the user is in Flask's cookie.

    Authlib signs people in by an authorization code. This is another protocol than ours, so the sign-in is not
    compared.
    """
    app = Flask("authlib_client")
    app.secret_key = "s" * 48
    OAuth(app).register("idp", client_id="bench", server_metadata_url="http://127.0.0.1:9/", client_kwargs={})

    @app.get("/reports")
    def reports() -> ResponseReturnValue:
        user = session.get("user")
        return f"reached {user['email']}" if user else ("Sign in first.", 401)

    with app.test_request_context():
        session["user"] = {"sub": "4711", "email": "carol@example.com", "name": "Carol Warden", "groups": ["staff"]}
        response = app.make_response("")
        app.session_interface.save_session(app, session, response)
    _show(response.headers["Set-Cookie"].partition(";")[0])
    return app


def _folder() -> Path:
    return Path(os.environ["SP_INSTANCE"])


def _show(cookie: str) -> None:
    Path(os.environ["BENCH_COOKIE"]).write_text(cookie)
