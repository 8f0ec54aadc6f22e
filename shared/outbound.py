"""Send a request to another server, with limits on time, size and destination.

The time limit is for the whole exchange, not for each read, so a server that sends a byte a second cannot block us.
This module follows no redirect, and uses no proxy. Of the environment, it uses only OpenSSL's variables for
certificates (SSL_CERT_FILE, SSL_CERT_DIR). Plain http is allowed only to this machine, unless the caller allows it. To
decide whether the destination is this machine, the module checks the IP to which it is connected, because a host name
may resolve to another IP each time. The module uses http.client, because the well-known libraries limit single reads,
but not a whole exchange.
"""

from __future__ import annotations

import http.client
import io
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from shared.settings import is_loopback, is_web_url

USER_AGENT = "Lychgate"


class ExchangeFailed(Exception):
    """There is no usable answer. The message gives the reason in one line, and quotes no part of the answer."""


@dataclass(frozen=True)
class Answer:
    """The response. Names of `headers` are looked up without regard to case."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes


def exchange(
    url: str,
    *,
    seconds: float,
    most_bytes: int,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    http_anywhere: bool = False,
) -> Answer:
    """Return the answer to one request, or raise ExchangeFailed.

    *seconds* is the limit from the first connection to the last byte. It does not include name resolution by the
    system. *http_anywhere* also allows plain http to other machines.
    """
    if not is_web_url(url):
        raise ExchangeFailed("the URL is not an http or https URL")
    deadline = _Deadline(seconds)
    parts = urlsplit(url)
    try:
        line = _connect(parts.scheme, parts.hostname or "", parts.port, deadline, http_anywhere)
        try:
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port or _port(parts.scheme))
            connection.sock = line  # http.client does not connect if it has a socket
            target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
            own = {"User-Agent": USER_AGENT, "Connection": "close"}
            connection.request(method, target, body=body, headers={**own, **(headers or {})})
            response = connection.getresponse()
            return Answer(response.status, response.headers, _read(response, most_bytes))
        finally:
            line.hang_up()
    except TimeoutError as error:
        raise ExchangeFailed(f"there was no complete answer within {seconds:g} seconds") from error
    except ssl.SSLError as error:
        raise ExchangeFailed(f"https failed: {getattr(error, 'verify_message', '') or error.reason}") from error
    except OSError as error:
        raise ExchangeFailed(f"the server cannot be reached: {error.strerror or type(error).__name__}") from error
    except (http.client.HTTPException, ValueError) as error:
        raise ExchangeFailed(f"the answer is not valid HTTP: {type(error).__name__}") from error


def _connect(scheme: str, host: str, port: int | None, deadline: _Deadline, http_anywhere: bool) -> _Line:
    problem: OSError = OSError(f"{host} has no IP address")
    for family, kind, protocol, _name, address in socket.getaddrinfo(
        host, port or _port(scheme), type=socket.SOCK_STREAM
    ):
        connected = socket.socket(family, kind, protocol)
        try:
            connected.settimeout(deadline.remaining())
            connected.connect(address)
            peer = connected.getpeername()[0]
            if scheme == "https":
                connected.settimeout(deadline.remaining())  # for the whole handshake
                return _Line(ssl.create_default_context().wrap_socket(connected, server_hostname=host), deadline)
            if not http_anywhere and not is_loopback(peer):
                raise ExchangeFailed(f"{host} resolves to {peer}, and plain http is allowed only on this machine")
            return _Line(connected, deadline)
        except ssl.SSLError:
            connected.close()
            raise
        except OSError as error:
            connected.close()
            problem = error
        except BaseException:
            connected.close()
            raise
    raise problem


def _read(response: http.client.HTTPResponse, most_bytes: int) -> bytes:
    if response.getheader("Content-Encoding", "identity") != "identity":
        raise ExchangeFailed("the answer is compressed, although compression was not requested")
    body = response.read(most_bytes + 1)
    if len(body) > most_bytes:
        raise ExchangeFailed(f"the answer is longer than {most_bytes} bytes")
    return body


class _Deadline:
    """The time at which all waiting ends."""

    def __init__(self, seconds: float) -> None:
        self._at = time.monotonic() + seconds

    def remaining(self) -> float:
        """Return the seconds that are left, or raise TimeoutError."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left


class _Line:
    """The part of a socket that http.client needs. It checks the deadline before each operation."""

    def __init__(self, connected: socket.socket, deadline: _Deadline) -> None:
        self._socket, self._deadline = connected, deadline

    def sendall(self, octets: Any) -> None:
        self._socket.settimeout(self._deadline.remaining())
        self._socket.sendall(octets)

    def makefile(self, _mode: str) -> io.BufferedReader:
        return io.BufferedReader(_Reading(self._socket, self._deadline))

    def close(self) -> None:
        """Do nothing, because http.client calls this method before the answer is read."""

    def hang_up(self) -> None:
        self._socket.close()


class _Reading(io.RawIOBase):
    def __init__(self, connected: socket.socket, deadline: _Deadline) -> None:
        self._socket, self._deadline = connected, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._socket.settimeout(self._deadline.remaining())
        return self._socket.recv_into(buffer)


def _port(scheme: str) -> int:
    return 443 if scheme == "https" else 80
