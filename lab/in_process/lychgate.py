"""The fixture `lychgate` for tests: a running gateway and identity provider, and methods to control them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from idp import backchannel, housekeeping
from idp.stores import sessions as idp_sessions
from lab.cast import ALICE, Person
from lab.clock import Clock
from lab.in_process.applications import as_wsgi
from lab.in_process.made_session import MadeSession, make_session
from lab.in_process.programs import Programs
from lab.in_process.visitors import give_session, sign_in_by_form
from lab.issuing import Sent, SignIn
from sp.sessions.listing import SessionDetail

if TYPE_CHECKING:
    from collections.abc import Callable

PASSWORD = "lychgate-tests-only"  # the default for people of a test


@dataclass(frozen=True)
class LiveSession:
    """A session of the gateway: its person and its details."""

    email: str
    detail: SessionDetail


class Lychgate:
    """Both programs, running. A test may change anything, because `reset` restores the original state.

    `alice` is there from the start. `clock` moves the time of day for both programs.
    """

    def __init__(self, folder: Path) -> None:
        self._programs = Programs(folder)
        self.clock = Clock()
        self._provider: dict[str, Any] = {}
        self._service: dict[str, Any] = {}
        self._claims: dict[str, str] = {}
        self._close_application: Callable[[], None] = lambda: None
        self.alice = self.add_person(ALICE)
        self._programs.start()

    @property
    def sp_url(self) -> str:
        """The URL of the application behind the gateway, without a slash at the end."""
        return self._programs.sp_url

    @property
    def idp_url(self) -> str:
        """The URL of the identity provider."""
        return self._programs.idp_url

    def add_person(
        self,
        email: str | Person,
        *,
        password: str = PASSWORD,
        given_name: str = "",
        family_name: str = "",
        groups: Sequence[str] = (),
        **attributes: str,
    ) -> Person:
        """Add a person at the identity provider, by e-mail or as an object. Further attributes become claims."""
        if isinstance(email, Person):
            person = email
        else:
            person = Person(email, password, given_name or email.partition("@")[0].title(), family_name, tuple(groups))
        with self._programs.in_identity_provider() as parts:
            known = parts.people.add(  # type: ignore[attr-defined]
                person.email,
                person.password,
                given_name=person.given_name,
                family_name=person.family_name,
                groups=person.groups,
                attributes=attributes,
            )
        self._programs.scripted.add_person(known)
        self._claims |= {name: name for name in attributes if name not in self._claims}
        if attributes:
            self.service()
            self.provider()
        return person

    def disable(self, person: Person) -> None:
        """Prevent the person from signing in at the identity provider."""
        with self._programs.in_identity_provider() as parts:
            parts.people.set_disabled(person.email, True)  # type: ignore[attr-defined]

    def add_administrator(self, email: str = "carol@example.com", password: str = PASSWORD) -> Person:
        """Add an administrator of the gateway, who signs in at /login?no_sso.

        The default password is long enough for an administrator.
        """
        self._programs.core.people.create_administrator(email, password)
        return Person(email, password, "", "")

    def provider(self, **settings: Any) -> None:
        """Change settings of the identity provider at the gateway, by their names in `[providers.*]`."""
        self._provider |= settings
        mapping = {**{name: name for name in self._claims}, **self._provider.get("mapping", {})}
        self._programs.configure_provider(self._provider | ({"mapping": mapping} if mapping else {}))

    def service(self, **settings: Any) -> None:
        """Change settings of the gateway at the identity provider, by their names in `[services.*]`."""
        self._service |= settings
        claims = {**self._claims, **self._service.get("claims", {})}
        self._programs.configure_service(self._service | ({"claims": claims} if claims else {}))

    def app(
        self, application: Callable[..., Any], *, rules: Sequence[Mapping[str, Any]] = (), identity_headers: str = ""
    ) -> str:
        """Put an application behind the gateway, WSGI or ASGI, and return its URL.

        *rules* are as in `[[rules]]`, *identity_headers* as in SP_IDENTITY_HEADERS. Before the first call, a sample
        application that shows who you are is behind the gateway.
        """
        self._close_application()
        wsgi, self._close_application = as_wsgi(application)
        self._programs.protect(wsgi, rules, identity_headers)
        return self.sp_url

    def sign_in(self, visitor: Any, person: Person | None = None, *, path: str = "/", fast: bool = False) -> Person:
        """Sign *person* (or Alice) in, with Playwright's page, Selenium's driver, or a client of httpx or requests.

        This follows the redirects and fills in the form. If *fast* is true, it opens a session directly instead. A
        browser then shows *path*. Raises SignInFailed with the gateway's code, or TypeError for another kind of
        visitor.
        """
        person = person or self.alice
        if fast:
            give_session(visitor, self.sp_url, self.session(person), path)
        else:
            sign_in_by_form(visitor, self.sp_url, person, path)
        return person

    def session(self, person: Person | None = None) -> MadeSession:
        """Return a new session of *person*, by default Alice, as cookies for any client."""
        return make_session(self._programs, (person or self.alice).email)

    def next(
        self,
        person: Person | str | None = None,
        *,
        claims: Mapping[str, Any] | None = None,
        without: Sequence[str] = (),
        fault: str = "",
    ) -> None:
        """Decide the person, claims or fault of the next sign-in, which then needs no password.

        `python -m lab token --list-faults` lists the faults. Raises UnknownFault.
        """
        self._programs.scripted.issuer.decide(SignIn(self._email(person), claims or {}, tuple(without), fault))

    def mint(
        self,
        person: Person | str | None = None,
        *,
        claims: Mapping[str, Any] | None = None,
        without: Sequence[str] = (),
        fault: str = "",
        nonce: str = "",
    ) -> str:
        """Return a token of the identity provider, valid or with a fault. *nonce* binds it to a browser."""
        sign_in = SignIn(self._email(person), claims or {}, tuple(without), fault)
        return self._programs.scripted.mint(sign_in, nonce).token

    @property
    def sent(self) -> Sequence[Sent]:
        """The tokens that `next` and `mint` made in this test, oldest first."""
        return tuple(self._programs.scripted.issuer.sent)

    def sessions(self, person: Person | str | None = None) -> list[LiveSession]:
        """Return the live sessions at the gateway, of one person or of all people."""
        core = self._programs.core
        wanted = self._email(person) if person else ""
        return [
            LiveSession(account.email, detail)
            for account in core.account_search.page(wanted).people
            for detail in core.session_finder.list_of(account.id)
        ]

    def end_sessions(self, person: Person | str | None = None) -> None:
        """End the sessions of a person, by default Alice, at the gateway, as an administrator does."""
        core = self._programs.core
        for account in core.account_search.page(self._email(person)).people:
            core.sessions.end(account_id=account.id)

    def sign_out_at_provider(self, person: Person | str | None = None) -> None:
        """End the person's sessions at the identity provider, which tells the gateway by the back channel."""
        with self._programs.in_identity_provider() as parts:
            if (known := parts.people.find(self._email(person))) is not None:
                backchannel.tell(idp_sessions.end_sessions_of(known, reason="signed out by a test"))

    def clean_up(self) -> None:
        """Delete expired data, and send due notices, as both programs do in the background."""
        self._programs.core.housekeeping.clean_up()
        with self._programs.in_identity_provider():
            housekeeping.retry_notices()
            housekeeping.tidy()

    def provider_down(self) -> AbstractContextManager[None]:
        """Let the identity provider refuse connections inside a `with` block."""
        return self._programs.identity_provider_down()

    def reset(self) -> None:
        """Restore the state of the start: people, settings, sessions, application, clock."""
        self.clock.reset()
        self._close_application()
        self._close_application = lambda: None
        self._provider, self._service, self._claims = {}, {}, {}
        self._programs.reset()
        with self._programs.in_identity_provider() as parts:
            if (alice := parts.people.find(self.alice.email)) is not None:
                self._programs.scripted.add_person(alice)

    def stop(self) -> None:
        """Finish."""
        self.clock.reset()
        self._close_application()
        self._programs.stop()

    def _email(self, person: Person | str | None) -> str:
        return person if isinstance(person, str) else (person or self.alice).email


def running(folder: Path) -> Iterator[Lychgate]:
    """Yield a running Lychgate, and stop it afterwards."""
    lychgate = Lychgate(folder)
    try:
        yield lychgate
    finally:
        lychgate.stop()
