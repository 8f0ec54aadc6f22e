"""LemonLDAP::NG's handler for nginx: Debian's llng-fastcgi-server. A folder has its configuration and one session.

The portal of LemonLDAP::NG is not started. This module writes the session into the session store, as the portal would
do.
"""

from __future__ import annotations

import getpass
import json
import shutil
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

from bench.programs import running

SERVER = Path("/usr/sbin/llng-fastcgi-server")
USER = "www-data"  # the server refuses to run as root
SIGN_IN = """
use Lemonldap::NG::Common::Session;
my $session = Lemonldap::NG::Common::Session->new({
    storageModule => 'Apache::Session::File',
    storageModuleOptions => {
        Directory => $ARGV[0], LockDirectory => $ARGV[1],
        generateModule => 'Lemonldap::NG::Common::Apache::Session::Generate::SHA256',
    },
    kind => 'SSO',
    info => { uid => 'alice', _user => 'alice', _whatToTrace => 'alice', mail => 'alice@example.com', _utime => time,
              _lastSeen => time, authenticationLevel => 2 },
});
die $session->error if $session->error;
print $session->id;
"""


def start_lemonldap(stack: ExitStack, here: Path) -> tuple[Path, str]:
    """Start the handler with one process. Return its socket and the cookie of the session."""
    folders = {name: here / name for name in ("conf", "sessions", "lock", "cache", "run")}
    for folder in folders.values():
        folder.mkdir(parents=True)
    _write_configuration(here, folders)
    pid, listens = folders["run"] / "pid", folders["run"] / "s"
    command = [str(SERVER), "--foreground", "-n", "1", "-p", str(pid), "-s", str(listens)]
    as_user = ["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups"] if getpass.getuser() == "root" else []
    if as_user:
        for path in (here, *here.rglob("*")):
            shutil.chown(path, USER, USER)
    signed_in = subprocess.run(
        [*as_user, "perl", "-e", SIGN_IN, str(folders["sessions"]), str(folders["lock"])],
        check=True, capture_output=True, text=True,
    )  # fmt: skip
    environ = {"LLNG_DEFAULTCONFFILE": str(here / "lemonldap-ng.ini")}
    stack.enter_context(running([*as_user, *command], listens, environ, here / "log"))
    return listens, f"lemonldap={signed_in.stdout.strip()}"


def _write_configuration(here: Path, folders: dict[str, Path]) -> None:
    (here / "lemonldap-ng.ini").write_text(
        f"[all]\nlogLevel = warn\n[configuration]\ntype = File\ndirName = {folders['conf']}\n[handler]\nstatus = 0\n"
    )
    configuration = {
        "cfgNum": 1,
        "cfgDate": str(int(time.time())),
        "cfgAuthor": "bench",
        "cookieName": "lemonldap",
        "domain": "127.0.0.1",
        "portal": "http://127.0.0.1:9/",
        "whatToTrace": "_whatToTrace",
        "globalStorage": "Apache::Session::File",
        "globalStorageOptions": {
            "Directory": str(folders["sessions"]),
            "LockDirectory": str(folders["lock"]),
            "generateModule": "Lemonldap::NG::Common::Apache::Session::Generate::SHA256",
        },
        "localSessionStorage": "Cache::FileCache",
        "localSessionStorageOptions": {"cache_root": str(folders["cache"]), "namespace": "sessions", "cache_depth": 3},
        "locationRules": {"127.0.0.1": {"default": "accept"}},
        "exportedHeaders": {"127.0.0.1": {"Auth-User": "$uid", "Auth-Mail": "$mail"}},
        "timeout": 72_000,
    }
    (folders["conf"] / "lmConf-1.json").write_text(json.dumps(configuration))
