"""Define the sample application, which is used if SP_APP is empty. It shows who you are, and your token's claims."""

from __future__ import annotations

import json
from pathlib import Path

from flask import Flask, render_template, request

from shared import web
from shared.phrases import N_
from sp.components import Components
from sp.sessions.cookies import THEME_NAME


def create_welcome_app(core: Components) -> Flask:
    """Return an application that shows, on any path, the data that the gateway gives to applications."""
    app = Flask(__name__, static_folder=None)
    config = core.config
    web.install(
        app,
        prefix=f"{config.prefix}/sso",
        https=config.https,
        branding=config.branding,
        theme_cookie=THEME_NAME,
        role=N_("sample page"),
        translations=[Path(__file__).parent / "translations"],
    )

    @app.route("/", defaults={"path": ""}, methods=["GET", "POST"])
    @app.route("/<path:path>", methods=["GET", "POST"])
    def welcome(path: str) -> str:
        """Show the person and the session. If a rule allows visitors, show that the visitor is not signed in."""
        user = request.environ.get("sso.user")
        detail = core.session_finder.detail(user["session"]) if user else None
        return render_template(
            "sp/welcome.html",
            user=user,
            detail=detail,
            path=request.full_path.rstrip("?"),
            prefix=core.config.prefix,
            is_demo=core.config.is_demo,
            claims=json.dumps(detail.claims, indent=2, ensure_ascii=False) if detail and detail.claims else "",
        )

    return app
