"""Real PostgreSQL and Redis servers of the distribution, private to a run: own folder, own port, gone afterwards.

Both can be stopped, killed and started again on what they kept, so that a test sees what a gateway does without them.
"""

import os
import pwd
import re
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import psycopg
import redis

from lab.ports import free_port
from tests.support.waiting import wait_until

START_SECONDS = 60
STOP_SECONDS = 30
CONNECTIONS_OF_POOLER = 4  # fewer than the clients have, so that they share them
UNPRIVILEGED = ("postgres", "nobody")  # PostgreSQL refuses to run as root


class Server:
    """A program that listens, with its own folder."""

    stop_signal = signal.SIGTERM

    def __init__(self, folder: Path, command: Sequence[str]) -> None:
        self.folder, self.command = folder, [*_as_somebody_else(folder), *command]
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it, and return when it answers."""
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(
                self.command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        deadline = time.monotonic() + START_SECONDS
        while not self.answers():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{self.command} does not answer:\n{(self.folder / 'log').read_text()}")
            time.sleep(0.02)

    def stop(self) -> None:
        """Ask it to finish."""
        if self.process is not None:
            self.process.send_signal(self.stop_signal)
            self.process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """End it and its processes at once, as a power cut would."""
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP)  # first, so that no further ones are made
            children = self._children()
            for pid in children:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            self.process.kill()
            self.process.wait()
            # PostgreSQL does not start while a process of the one before uses its shared memory.
            wait_until(lambda: not any(is_alive(pid) for pid in children))

    @contextmanager
    def hanging(self) -> Iterator[None]:
        """Let it accept connections without answering, as when its disk or its machine hangs."""
        self.freeze()
        try:
            yield
        finally:
            self.thaw()

    def freeze(self) -> None:
        """Stop it and its processes without ending them: its connections stay open, but get no answer."""
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP)  # first, so that no further ones are made
            for pid in self._children():
                os.kill(pid, signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        if self.process is not None:
            for pid in self._children():
                os.kill(pid, signal.SIGCONT)
            self.process.send_signal(signal.SIGCONT)

    def _children(self) -> list[int]:
        assert self.process is not None
        pid = self.process.pid
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]

    def answers(self) -> bool:
        """Tell whether it can be talked to."""
        raise NotImplementedError


class PostgreSQL(Server):
    """A PostgreSQL cluster. What it writes survives a kill, though not a power cut: syncing is off, for speed.

    *more* are further settings of postgresql.conf, or others than these.
    """

    stop_signal = signal.SIGINT  # SIGTERM would wait until every client has gone

    def __init__(self, folder: Path, binaries: Path, **more: str) -> None:
        self.port = free_port()
        settings: dict[str, object] = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": 100,
            "log_min_messages": "fatal",
            **more,
        }
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        super().__init__(folder, [str(binaries / "postgres"), "-D", str(folder / "data"), *options])
        initdb = [str(binaries / "initdb"), "-D", str(folder / "data"), "-U", "lychgate", "--auth=trust"]
        details = ["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]
        subprocess.run([*_as_somebody_else(folder), *initdb, *details], cwd=folder, check=True, capture_output=True)
        self._databases = 0
        self.template: str | None = None  # the name of a database with all tables of the gateway, to be copied

    def create_database(self, template: str = "template1") -> str:
        """Return the URL of a new database, as SP_DATABASE_URL has it: empty, or a copy of *template*."""
        self._databases += 1
        name = f"test_{self._databases}"
        with psycopg.connect(self._connection_string("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return f"postgresql+psycopg://lychgate@127.0.0.1:{self.port}/{name}"

    def answers(self) -> bool:
        try:
            psycopg.connect(self._connection_string("postgres")).close()
        except psycopg.OperationalError:
            return False
        return True

    def _connection_string(self, database: str) -> str:
        return f"host=127.0.0.1 port={self.port} user=lychgate dbname={database} connect_timeout=5"


class Redis(Server):
    """A Redis server that keeps everything it has acknowledged (appendonly, noeviction)."""

    def __init__(self, folder: Path, binary: str) -> None:
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        settings = {
            "bind": "127.0.0.1",
            "port": self.port,
            "dir": str(folder),
            "appendonly": "yes",
            "appendfsync": "always",  # "everysec" may answer before it writes, while an earlier sync is under way
            "maxmemory-policy": "noeviction",
            "save": "",
        }
        super().__init__(folder, [binary, *(part for name, v in settings.items() for part in (f"--{name}", str(v)))])

    def answers(self) -> bool:
        try:
            with redis.Redis.from_url(self.url, socket_timeout=1) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False


class PgBouncer(Server):
    """A connection pooler in front of *server*. Each transaction may run on another connection to the server."""

    def __init__(self, folder: Path, binary: str, server: PostgreSQL) -> None:
        self.port = free_port()
        (folder / "users").write_text('"lychgate" ""\n')
        (folder / "settings").write_text(
            "[databases]\n"
            f"* = host=127.0.0.1 port={server.port}\n"
            "[pgbouncer]\n"
            f"listen_addr = 127.0.0.1\nlisten_port = {self.port}\nunix_socket_dir =\n"
            f"auth_type = trust\nauth_file = {folder / 'users'}\n"
            f"pool_mode = transaction\ndefault_pool_size = {CONNECTIONS_OF_POOLER}\n"
        )
        super().__init__(folder, [binary, str(folder / "settings")])

    def through(self, url: str) -> str:
        """Return the *url* of a database as it is reached through the pooler."""
        return re.sub(r":[0-9]+/", f":{self.port}/", url)

    def answers(self) -> bool:
        try:
            psycopg.connect(f"host=127.0.0.1 port={self.port} user=lychgate dbname=postgres connect_timeout=5").close()
        except psycopg.OperationalError:
            return False
        return True


def find_postgresql() -> Path | None:
    """Return the folder of PostgreSQL's programs, of the newest version that the distribution installed."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: int(path.parts[4]))
    if found:
        return found[-1].parent
    on_path = shutil.which("postgres")
    return Path(on_path).resolve().parent if on_path else None


def find_redis() -> str | None:
    """Return the Redis server's program."""
    return shutil.which("redis-server") or shutil.which("valkey-server")


@contextmanager
def running_postgresql(binaries: Path, **settings: str) -> Iterator[PostgreSQL]:
    """Run a PostgreSQL server on an empty folder."""
    with _private_folder("lychgate-postgresql-") as folder:
        server = PostgreSQL(folder, binaries, **settings)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def running_pgbouncer(binary: str, server: PostgreSQL) -> Iterator[PgBouncer]:
    """Run PgBouncer in front of *server*."""
    with _private_folder("lychgate-pgbouncer-") as folder:
        pooler = PgBouncer(folder, binary, server)
        try:
            pooler.start()
            yield pooler
        finally:
            pooler.stop()


@contextmanager
def running_redis(binary: str) -> Iterator[Redis]:
    """Run a Redis server on an empty folder."""
    with _private_folder("lychgate-redis-") as folder:
        server = Redis(folder, binary)
        try:
            server.start()
            yield server
        finally:
            server.stop()


@contextmanager
def _private_folder(prefix: str) -> Iterator[Path]:
    """Make a folder outside of pytest's own, into which only its owner may look."""
    folder = Path(tempfile.mkdtemp(prefix=prefix))
    try:
        if owner := _somebody_else():
            os.chown(folder, owner.pw_uid, owner.pw_gid)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _as_somebody_else(folder: Path) -> list[str]:
    if _somebody_else() is None:
        return []
    owner = folder.stat()
    return ["setpriv", f"--reuid={owner.st_uid}", f"--regid={owner.st_gid}", "--clear-groups"]


def _somebody_else() -> pwd.struct_passwd | None:
    """Return the account under which servers run if the tests run as root."""
    if os.geteuid() != 0:
        return None
    known = {account.pw_name: account for account in pwd.getpwall()}
    return next(known[name] for name in UNPRIVILEGED if name in known)


def is_alive(pid: int) -> bool:
    """Tell whether the process still runs. A zombie does not: it only waits to be asked for its status."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
