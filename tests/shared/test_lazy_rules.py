"""Routes whose URL builders are compiled late build the same URLs as Werkzeug's own."""

from __future__ import annotations

from typing import Any

import pytest
from flask import Flask
from werkzeug.routing import BuildError, Rule

from shared.lazy_rules import LazyRule

ROUTES: tuple[tuple[str, dict[str, Any]], ...] = (
    ("/", {}),
    ("/with space/é", {}),
    ("/people/<int:number>", {}),
    ("/people/", {"defaults": {"number": 1}}),
    ("/files/<path:name>", {}),
    ("/providers/<name>/keys/<key>", {}),
)
VALUES: tuple[dict[str, Any], ...] = (
    {},
    {"number": 7},
    {"number": 1},
    {"name": "a/b c"},
    {"name": "corporate", "key": "k&y", "rule": "x", "self": "y", "more": ["1", "2"]},
    {"number": "no number"},
)


def built(rule_class: type[Rule]) -> list[str]:
    """Return the URL of each route with each set of values, or the name of the error."""
    app = Flask(__name__, static_folder=None)
    app.url_rule_class = rule_class
    for index, (rule, options) in enumerate(ROUTES):
        app.add_url_rule(rule, f"route {index}", lambda: "", **options)
    adapter, found = app.url_map.bind("localhost"), []
    for index in range(len(ROUTES)):
        for values in VALUES:
            for append_unknown in (True, False):
                try:
                    found.append(adapter.build(f"route {index}", values, append_unknown=append_unknown))
                except (BuildError, ValueError) as error:
                    found.append(type(error).__name__)
    return found


def test_urls_are_the_same_as_those_of_werkzeug() -> None:
    assert built(LazyRule) == built(Rule)
    assert any(url.startswith("/providers/") for url in built(LazyRule))


def test_nothing_is_compiled_before_the_first_url_is_built(monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[bool] = []
    original = Rule._compile_builder

    def counted(self: Rule, append_unknown: bool = True) -> Any:
        compiled.append(append_unknown)
        return original(self, append_unknown)

    monkeypatch.setattr(Rule, "_compile_builder", counted)
    app = Flask(__name__, static_folder=None)
    app.url_rule_class = LazyRule
    app.add_url_rule("/people/<int:number>", "person", lambda: "")
    adapter = app.url_map.bind("localhost")
    assert compiled == []
    assert [adapter.build("person", {"number": n}) for n in (1, 2)] == ["/people/1", "/people/2"]
    assert len(compiled) == 1
