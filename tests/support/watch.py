"""What a browser did, beside what it shows: where it went, what it loaded, what it complained about.

Every browser of the suite is watched, so the rules that hold for all pages are asserted on every page that any test
happens to visit: no file is loaded from another host, and the Content-Security-Policy is never violated.
"""

from urllib.parse import urlsplit

from playwright.sync_api import BrowserContext, ConsoleMessage, Error, Request


class Watch:
    """Records the requests and complaints of one browser context."""

    def __init__(self, context: BrowserContext) -> None:
        self.visited: list[str] = []
        self.foreign: list[str] = []
        self.complaints: list[str] = []
        context.on("request", self._note_request)
        context.on("console", self._note_console)
        context.on("weberror", lambda error: self.complaints.append(str(error.error)))

    def addresses(self, path: str) -> list[str]:
        """Return every URL with this *path* that a page requested, redirects included, oldest first."""
        return [address for address in self.visited if urlsplit(address).path == path]

    def assert_calm(self) -> None:
        """Fail if a page loaded anything from another host, or the browser complained of one."""
        assert self.foreign == []
        assert self.complaints == []

    def _note_request(self, request: Request) -> None:
        if request.is_navigation_request():
            self.visited.append(request.url)
            return
        try:
            page = request.frame.url
        except Error:
            return  # the page is gone already
        if urlsplit(request.url)[:2] != urlsplit(page)[:2] and not request.url.startswith("data:"):
            self.foreign.append(f"{page} loaded {request.url}")

    def _note_console(self, message: ConsoleMessage) -> None:
        # A page with a status such as 401 is an "error" on the console too; those are meant.
        if "Content Security Policy" in message.text or "Refused to" in message.text:
            self.complaints.append(message.text)
