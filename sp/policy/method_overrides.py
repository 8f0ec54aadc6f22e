"""Find the methods that a request names in addition to that of its request line.

Forms can send only GET and POST, so some frameworks read another method from a header or from the field `_method`. A
rule for some methods would then be checked with a method that is not the one that runs. So every method that a header
or the query names is checked too. If a header has a list of methods, each of them is checked, because some parsers use
the first item and others the last. A method in a form's body is ignored, because no body is read here.

Pure code: it does no I/O and reads no clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote_plus

HEADERS = ("HTTP_X_HTTP_METHOD_OVERRIDE", "HTTP_X_METHOD_OVERRIDE", "HTTP_X_HTTP_METHOD")
FIELD = "_method"  # Rails, Laravel, Symfony, WordPress, Express

_NAME = re.compile(r"[^\s,;|\"']+")


def in_headers(environ: Mapping[str, Any]) -> list[str]:
    """Return the methods that headers name. If several headers have the same name, servers join them with a comma."""
    return [name for header in HEADERS if header in environ for name in _NAME.findall(environ[header])]


def in_query(query: str) -> list[str]:
    """Return the methods that a raw *query* names. For nearly every query, the list is empty."""
    readable = unquote_plus(query) if "%" in query else query
    if "method" not in readable.lower():
        return []
    return [name for value in _values(query) for name in _NAME.findall(value)]


def _values(query: str) -> Iterator[str]:
    for pair in re.split("[&;]", query):
        name, _equals, value = pair.partition("=")
        if _is_field(unquote_plus(name)):
            yield unquote_plus(value)


def _is_field(name: str) -> bool:
    """Tell whether some framework reads *name* as the field `_method`.

    PHP, for example, drops spaces before a name, and reads a dot in it as an underscore.
    """
    return name.strip().replace(".", "_").partition("[")[0].lower() == FIELD
