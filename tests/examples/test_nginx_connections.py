"""nginx keeps its connections to the gateway, which it asks at every request."""

import http.client
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from lab.ports import free_port
from tests.examples import servers

BINARY = servers.find("nginx")
REQUESTS = 6


class Counting(BaseHTTPRequestHandler):
    """Answers for the gateway and the application: allows everything, and counts connections by their first path."""

    protocol_version = "HTTP/1.1"
    connections: Counter[str]
    asked: Counter[str]
    is_new = True

    def do_GET(self) -> None:
        self.connections[self.path] += self.is_new
        self.asked[self.path] += 1
        self.is_new = False
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_arguments: Any) -> None:
        """Say nothing."""


@pytest.mark.skipif(BINARY is None, reason="nginx is not installed")
def test_six_requests_are_asked_about_over_one_connection(tmp_path: Path) -> None:
    Counting.connections, Counting.asked = Counter(), Counter()
    with ThreadingHTTPServer(("127.0.0.1", 0), Counting) as stub:
        thread = threading.Thread(target=stub.serve_forever, args=(0.02,))
        thread.start()
        own, port = stub.server_address[1], free_port()
        try:
            with servers.nginx(str(BINARY), port, own, own, tmp_path):
                for _time in range(REQUESTS):
                    client = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
                    client.request("GET", "/page")
                    assert client.getresponse().status == 200
                    client.close()
        finally:
            stub.shutdown()
            thread.join()
    assert Counting.asked["/sso/auth/nginx"] == REQUESTS
    assert Counting.connections["/sso/auth/nginx"] == 1
