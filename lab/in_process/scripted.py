"""Let a test decide the claims or the fault of the next sign-in at the identity provider, without a password.

If the test has decided nothing, the identity provider answers as usual.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlencode

from werkzeug.utils import redirect

from idp.people import Person
from lab.forging import ForgingKey
from lab.issuing import Issuer, Sent, SignIn

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

    from lab.in_process.programs import Programs

LOGIN = "/login-token"


class ScriptedSignIn:
    """Answers one request to the identity provider's sign-in page for each sign-in that was decided."""

    def __init__(self, programs: Programs) -> None:
        self._programs = programs
        self._key = ForgingKey("HS256", programs.key.encode())
        self._addressed = {"iss": programs.idp_url, "aud": programs.sp_url}
        self.issuer = Issuer(self._key, self._addressed, ())

    def add_person(self, person: Person) -> None:
        """Let tokens describe *person* as the identity provider does."""
        self.issuer.add_person(person.email, claims_of(person))

    def answer(self, environ: WSGIEnvironment) -> WSGIApplication | None:
        """Return the answer that sends the decided token, or None if this request is not for one."""
        if environ["REQUEST_METHOD"] != "GET" or environ["PATH_INFO"].rstrip("/") != LOGIN:
            return None
        sign_in = self.issuer.decided()
        if sign_in is None:
            return None
        asked = {name: values[-1] for name, values in parse_qs(environ.get("QUERY_STRING", "")).items()}
        sent = self.issuer.issue(sign_in, return_to=asked.get("return_to", ""), nonce=asked.get("nonce", ""))
        echoed = {"return_to": sent.return_to} if sent.return_to else {}
        answer = redirect(f"{self._programs.sp_url}/sso/login/jwt?{urlencode({**echoed, 'jwt': sent.token})}", 303)
        answer.headers["Cache-Control"] = "no-store"
        return answer

    def mint(self, sign_in: SignIn, nonce: str) -> Sent:
        """Return a token for *sign_in*, valid or with its fault."""
        return self.issuer.issue(sign_in, nonce=nonce)


def claims_of(person: Person) -> dict[str, Any]:
    """Return the claims of a person's tokens except the e-mail address."""
    named = {"given_name": person.given_name, "family_name": person.family_name, "name": person.name}
    known = {"sub": person.id, "preferred_username": person.username, "groups": list(person.groups)}
    return {**named, **known, **person.attributes}
