"""A changed file of SP_CONFIG on nodes with several workers: in force in time, on all of them, and never half of it."""

import http.client
import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from lab.programs import RunningProgram
from tests.support.cluster import running_cluster

CACHE = 2  # seconds: what SP_SESSION_CACHE promises here
PER_SECOND = 50
# Both versions end with a rule that opens /last. Where it is missing, a request is decided by half a file.
LAST = '[[rules]]\npath = "/last"\nallow = "anyone"\n'
FILLER = "".join(f'[[rules]]\npath = "/filler-{number}/"\nallow = "signed-in"\n' for number in range(200))
OPEN, CLOSED = 200, 302


def rules(allow: str) -> str:
    return f'[[rules]]\npath = "/marker"\nallow = "{allow}"\n{FILLER}{LAST}'


@dataclass
class Watch:
    """The answers: when each request began, the node, the path and the status."""

    seen: list[tuple[float, int, str, int]] = field(default_factory=list)

    def markers(self, start: float, end: float = float("inf")) -> set[tuple[int, int]]:
        return {(port, status) for at, port, path, status in self.seen if path == "/marker" and start < at < end}


@contextmanager
def watched(nodes: list[RunningProgram]) -> Iterator[Watch]:
    """Send PER_SECOND requests to the nodes in turn, each on a new connection, so that every worker is asked."""
    watch, done = Watch(), threading.Event()

    def ask(node: RunningProgram, path: str, pause: float) -> None:
        while not done.wait(pause):
            began = time.monotonic()
            watch.seen.append((began, node.port, path, status(node.port, path)))

    paths = ("/marker", "/last")
    pause = len(nodes) * len(paths) / PER_SECOND
    threads = [threading.Thread(target=ask, args=(node, path, pause)) for node in nodes for path in paths]
    for thread in threads:
        thread.start()
    try:
        yield watch
    finally:
        done.set()
        for thread in threads:
            thread.join()


def status(port: int, path: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        headers = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate", "Sec-Fetch-Dest": "document"}
        connection.request("GET", path, headers=headers)
        with connection.getresponse() as answer:
            answer.read()
            return answer.status
    finally:
        connection.close()


def metric(node: RunningProgram) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
    try:
        connection.request("GET", "/metrics")
        with connection.getresponse() as answer:
            lines = answer.read().decode().splitlines()
        return next(line for line in lines if line.startswith("lychgate_config_rejected"))
    finally:
        connection.close()


def save_in_place(file: Path, text: str) -> float:
    """Write *text* as some editors do, in several steps; return when it was complete."""
    with file.open("w") as writing:
        for position in range(0, len(text), len(text) // 4):
            writing.write(text[position : position + len(text) // 4])
            writing.flush()
            time.sleep(0.02)
    return time.monotonic()


def test_a_change_is_in_force_on_every_worker_in_time_and_a_faulty_one_changes_nothing(tmp_path: Path) -> None:
    with running_cluster(tmp_path, nodes=2, workers=2, env={"SP_SESSION_CACHE": str(CACHE)}) as cluster:
        file, nodes = tmp_path / "config.toml", list(cluster.nodes)
        provider = file.read_text()
        workers = [node.worker_pids for node in nodes]
        save_in_place(file, rules("anyone") + provider)
        for node in nodes:
            node.wait_for_log("has changed and is in force")
        time.sleep(CACHE)
        with watched(nodes) as watch:
            began = time.monotonic()
            time.sleep(0.5)
            changed = save_in_place(file, rules("signed-in") + provider)
            time.sleep(CACHE + 1)
            broken = save_in_place(file, rules("anyone") + '[[rules]]\npath = "/*"\nallow = "anyone"\n' + provider)
            for node in nodes:
                node.wait_for_log("is not used; the previous settings stay in force")
            time.sleep(0.5)
            assert [metric(node) for node in nodes] == ["lychgate_config_rejected 1.0"] * 2
            for node in nodes:
                os.kill(node.pid, signal.SIGHUP)
            time.sleep(1)
        ports = [node.port for node in nodes]
        assert watch.markers(began, changed - 0.2) == {(port, OPEN) for port in ports}
        assert watch.markers(changed + CACHE) == {(port, CLOSED) for port in ports}
        assert broken > changed + CACHE
        assert {status for _at, _port, path, status in watch.seen if path == "/last"} == {OPEN}
        assert [node.worker_pids for node in nodes] == workers, "no worker was replaced"
        assert all("rules[203]: path" in node.log for node in nodes)


def test_a_signal_puts_the_file_in_force_at_once_and_keeps_workers_and_connections(tmp_path: Path) -> None:
    with running_cluster(tmp_path, workers=2, env={"SP_SESSION_CACHE": "3600"}) as cluster:
        (node,), file = cluster.nodes, tmp_path / "config.toml"
        workers = node.worker_pids
        kept = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
        kept.request("GET", "/marker", headers={"Accept": "text/html", "Sec-Fetch-Mode": "navigate"})
        kept.getresponse().read()
        socket = kept.sock
        file.write_text(rules("anyone") + file.read_text())
        os.kill(node.pid, signal.SIGHUP)
        deadline = time.monotonic() + 20
        # A worker that was still starting has read the new file at once, and says nothing.
        while {status(node.port, "/marker") for _number in range(10)} != {OPEN}:
            assert time.monotonic() < deadline, node.log
        node.wait_for_log("has changed and is in force")  # written a moment after the first answer by the new rules
        kept.request("GET", "/marker")
        assert kept.getresponse().status == OPEN
        assert kept.sock is socket
        kept.close()
        assert node.worker_pids == workers
        replace_workers_while_the_file_is_faulty(node, file)


def replace_workers_while_the_file_is_faulty(node: RunningProgram, file: Path) -> None:
    """A worker that replaces a killed one cannot start with such a file; it begins with what is in force."""
    good, workers = file.read_text(), set(node.worker_pids)
    file.write_text("[[rules]")
    for pid in workers:
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 20
    while workers & set(node.worker_pids) or len(node.worker_pids) < len(workers):
        assert time.monotonic() < deadline, node.log
        time.sleep(0.01)
    assert {status(node.port, "/marker") for _number in range(10)} == {OPEN}
    assert metric(node) == "lychgate_config_rejected 1.0"
    file.write_text(good)
    os.kill(node.pid, signal.SIGHUP)
    deadline = time.monotonic() + 20
    while metric(node) != "lychgate_config_rejected 0.0":  # each worker answers for itself
        assert time.monotonic() < deadline, node.log
        time.sleep(0.01)
