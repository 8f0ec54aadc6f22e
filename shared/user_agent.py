"""Name a browser and its system from a User-Agent header, such as "Firefox on Linux".

Use the name only in lists of sessions. A client can send any value, so no decision may depend on it.
"""

from __future__ import annotations

from shared.phrases import Phrase

# The first match counts. Browsers also name related browsers, so more specific names come first.
_BROWSERS = (
    ("Edg", "Edge"),
    ("OPR/", "Opera"),
    ("SamsungBrowser", "Samsung Internet"),
    ("Vivaldi", "Vivaldi"),
    ("YaBrowser", "Yandex Browser"),
    ("Firefox", "Firefox"),
    ("FxiOS", "Firefox"),
    ("CriOS", "Chrome"),
    ("HeadlessChrome", "Chrome"),
    ("Chromium", "Chromium"),
    ("Chrome", "Chrome"),
    ("Safari", "Safari"),
)
_SYSTEMS = (
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("Android", "Android"),
    ("Windows", "Windows"),
    ("CrOS", "ChromeOS"),
    ("Mac OS", "Mac"),
    ("Macintosh", "Mac"),
    ("Linux", "Linux"),
)


def device_name(user_agent: str) -> Phrase:
    """Return the browser and system in *user_agent*, such as "Firefox on Linux".

    If the system is unknown, return only the browser. If the browser is unknown, return the first word of *user_agent*,
    without its version. If there is no such word, return "an unknown device".
    """
    browser = next((name for mark, name in _BROWSERS if mark in user_agent), "")
    system = next((name for mark, name in _SYSTEMS if mark in user_agent), "")
    if browser:
        return Phrase("%(browser)s on %(system)s", browser=browser, system=system) if system else Phrase(browser)
    name = user_agent.partition(" ")[0].partition("/")[0][:40]
    return Phrase(name) if name else Phrase("an unknown device")
