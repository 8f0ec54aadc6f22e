"""Limit the body of a request, and reject values that not every database accepts.

The body of a stranger's request is limited to MAX_BODY. SQLite raises OverflowError if a number is too large for a
column, and PostgreSQL rejects a NUL in any text. Such a number and a NUL are errors of the client, so this module gives
them the same answer with every database.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from io import BytesIO
from typing import IO

from flask import Flask, request
from gunicorn.http.errors import ParseException
from werkzeug.exceptions import BadRequest, RequestEntityTooLarge, RequestTimeout
from werkzeug.routing import IntegerConverter

from shared.current import current_request

MAX_BODY = 32 * 1024  # bytes: a token has 8 KiB, and the largest form before sign-in contains a password
_ROW_ID = re.compile(r"[0-9]{1,18}\Z", re.ASCII)  # every number of 18 digits fits into 64 bits


class RowIdConverter(IntegerConverter):
    """The part `<int:…>` of a path: the number of a row."""

    regex = r"[0-9]{1,18}"


def install(app: Flask) -> None:
    """Enforce the limits of *app* for bodies and for numbers in paths. Call it before any code reads a form."""
    app.config["MAX_CONTENT_LENGTH"] = MAX_BODY
    app.url_map.converters["int"] = RowIdConverter
    app.before_request(_measure_chunks)


def allow_body(size: int) -> None:
    """Allow this request, of an authenticated client, to have a body of at most *size* bytes.

    The limit of a chunked body stays MAX_BODY.
    """
    request.max_content_length = size


def row_id_argument(name: str) -> int | None:
    """Return the row number in the query parameter *name*, or None if it is missing. Raises BadRequest."""
    text = request.args.get(name)
    if not text:
        return None
    if not _ROW_ID.match(text):
        raise BadRequest(f"The URL has an invalid {name}: it must be the number of a row. Go back and use a link.")
    return int(text)


def refuse_nul() -> None:
    """Raise BadRequest if there is a NUL in the path, the query or the form of the request."""
    if any("\0" in text for text in _texts()):
        raise BadRequest("Your input contains a NUL character, which is not allowed. Remove it, and send it again.")


def _measure_chunks() -> None:
    """Read a body without a Content-Length. Werkzeug would cut it at the limit and treat it as complete."""
    environ = current_request().environ
    if "HTTP_TRANSFER_ENCODING" not in environ or environ.get("CONTENT_LENGTH"):
        return
    stream, environ["wsgi.input"], environ["CONTENT_LENGTH"] = environ["wsgi.input"], BytesIO(), "0"
    body = _read_chunks(stream)
    if len(body) > MAX_BODY:
        raise RequestEntityTooLarge
    environ["wsgi.input"], environ["CONTENT_LENGTH"] = BytesIO(body), str(len(body))


def _read_chunks(stream: IO[bytes]) -> bytes:
    """Return at most one byte more of the body than MAX_BODY. Raises BadRequest or RequestTimeout.

    If the server's parser cannot read the body, that is a client error, and the server closes the connection.
    """
    try:
        return stream.read(MAX_BODY + 1)
    except TimeoutError as error:
        raise RequestTimeout("The request took too long. Send it again.") from error
    except (OSError, ValueError, ParseException) as error:
        raise BadRequest("The request is incomplete, or its chunked encoding is invalid. Send it again.") from error


def _texts() -> Iterator[str]:
    yield request.path
    for values in (request.args, request.form):
        for name, items in values.lists():
            yield name
            yield from items
