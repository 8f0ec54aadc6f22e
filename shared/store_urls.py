"""Describe the error in the URL of a store, without quoting any part of the URL, because it contains a password.

A library that misreads such a URL may take a part of the password for a host or a port, and show it in an error
message. So this module rejects a URL that can be read in two ways before a library sees the URL.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

SPELLING = "write / @ : # ? % in a name or password as %2F %40 %3A %23 %3F %25"
NO_DATABASE = f"is not the URL of a database: {SPELLING}"
NO_REDIS = f"is not the URL of a Redis: {SPELLING}, and only options that redis-py has"

_POSTGRESQL = re.compile(
    r"postgresql\+psycopg://"
    r"(?:[^:/@]*(?::[^@]*)?@)?"  # name and password
    r"(?:\[[0-9A-Fa-f:.]+\]|[^][/:?@]*)(?::[0-9]*)?"  # host and port
    r"(?:/[^@?]*)?(?:\?[^@]*)?\Z"
)
_NUMBER = re.compile(r"/?[0-9]*\Z")  # the path of a Redis URL: the number of the database


def database_mistake(url: str) -> str:
    """Return what is wrong with the URL of a database, or an empty text if the URL is valid."""
    if url.startswith("sqlite:///"):
        # For a file: URL, SQLite creates the file itself, so we cannot make sure that the file is private.
        is_uri = url.removeprefix("sqlite:///").lower().startswith("file:")
        return "must name a file by its path, and not by a file: URL" if is_uri else ""
    if not url.startswith("postgresql+psycopg://"):
        return "must begin with sqlite:/// or postgresql+psycopg://"
    return "" if _POSTGRESQL.match(url) else NO_DATABASE


def redis_mistake(url: str) -> str:
    """Return what is wrong with the URL of a Redis server, or an empty text if it is valid.

    An empty URL is valid. It means that no Redis is used.
    """
    if not url:
        return ""
    if not url.startswith(("redis://", "rediss://", "unix://")):
        return "must be empty or begin with redis://, rediss:// or unix://"
    return "" if _is_plain(url) and _is_read(url) else NO_REDIS


def _is_plain(url: str) -> bool:
    """Tell whether user name and password can be read in only one way."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    if parts.scheme == "unix":
        return not parts.fragment
    behind = parts.path + parts.query
    return not parts.fragment and "@" not in behind and parts.netloc.count("@") <= 1 and bool(_NUMBER.match(parts.path))


def _is_read(url: str) -> bool:
    """Tell whether redis-py can create a connection object from *url*. This does not connect."""
    try:
        import redis  # needed only if the URL is set, and never by the identity provider
    except ImportError:
        return True  # the code that opens the store says how to install it

    try:
        redis.ConnectionPool.from_url(url).make_connection()
    except (ValueError, TypeError, redis.RedisError):
        return False
    return True
