"""How browsers read a URL: the URL parser of the WHATWG, in the Node.js that comes with Playwright."""

import json
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from playwright._impl._driver import compute_driver_executable

PARSE = """
const base = process.argv[1];
const parse = (text) => {
  try { const url = new URL(text, base); return [url.origin, url.pathname]; } catch { return ['', '']; }
};
require('readline').createInterface({ input: process.stdin }).on('line', (line) => {
  console.log(JSON.stringify(JSON.parse(line).map(parse)));
});
"""


class Read(NamedTuple):
    """Where a browser would go: origin (empty for an invalid URL) and path."""

    origin: str
    path: str


class UrlParser:
    """One Node.js process that parses thousands of URLs, as a page at `base` would follow them."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def read(self, addresses: Sequence[str]) -> list[Read]:
        """Return how a browser reads each of *addresses*, which are URLs."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(addresses) + "\n")
        self._process.stdin.flush()
        return [Read(*found) for found in json.loads(self._process.stdout.readline())]


@contextmanager
def url_parser(base: str) -> Iterator[UrlParser]:
    """Run a parser for links on the page at *base*."""
    node = str(compute_driver_executable()[0])
    with subprocess.Popen(
        [node, "-e", PARSE, base], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            yield UrlParser(process)
        finally:
            process.kill()
