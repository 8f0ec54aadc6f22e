"""A real LDAP server for one test: OpenLDAP's slapd from the distribution, in a separate folder."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from idp.tests.support import ALICE, BOB

if TYPE_CHECKING:
    from idp.examples.ldap_people import LdapPeople

PROGRAM = shutil.which("slapd", path="/usr/sbin:/usr/local/libexec:/usr/local/sbin:/usr/lib/openldap")
READER = ("cn=reader,dc=example,dc=com", "the-readers-own-password")

CONFIG = """
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
modulepath /usr/lib/ldap
moduleload back_mdb
pidfile {folder}/slapd.pid
database mdb
suffix "dc=example,dc=com"
rootdn "{reader}"
rootpw {password}
directory {folder}/data
access to attrs=userPassword by anonymous auth by * none
access to * by * none
"""

TREE = f"""
dn: dc=example,dc=com
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: ou=people,dc=example,dc=com
objectClass: organizationalUnit
ou: people

dn: ou=gone,dc=example,dc=com
objectClass: organizationalUnit
ou: gone

dn: ou=groups,dc=example,dc=com
objectClass: organizationalUnit
ou: groups

dn: uid=alice,ou=people,dc=example,dc=com
objectClass: inetOrgPerson
uid: alice
cn: Alice Liddell
givenName: Alice
sn: Liddell
departmentNumber: Curiosity
mail: {ALICE.email}
userPassword: {ALICE.password}

dn: uid=bob,ou=gone,dc=example,dc=com
objectClass: inetOrgPerson
uid: bob
cn: Bob Sparrow
sn: Sparrow
mail: {BOB.email}
userPassword: {BOB.password}

dn: cn=staff,ou=groups,dc=example,dc=com
objectClass: groupOfNames
cn: staff
member: uid=alice,ou=people,dc=example,dc=com
"""


@contextmanager
def serving(folder: Path) -> Iterator[LdapPeople]:
    """Run slapd with Alice, and with Bob in the branch of former people. Yield the example directory that uses it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # ldap3 calls pyasn1 by old names while it is imported
        from idp.examples.ldap_people import LdapPeople

    (folder / "data").mkdir()
    config = folder / "slapd.conf"
    config.write_text(CONFIG.format(folder=folder, reader=READER[0], password=READER[1]))
    tree = folder / "tree.ldif"
    tree.write_text(TREE.lstrip())
    assert PROGRAM is not None
    subprocess.run([PROGRAM, "-T", "add", "-f", str(config), "-l", str(tree)], check=True, capture_output=True)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [PROGRAM, "-h", f"ldap://127.0.0.1:{port}", "-f", str(config), "-d", "0"]
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
        try:
            _wait_for(port)
            yield LdapPeople(
                f"ldap://127.0.0.1:{port}",
                *READER,
                "ou=people,dc=example,dc=com",
                groups="ou=groups,dc=example,dc=com",
            )
        finally:
            process.terminate()


def _wait_for(port: int) -> None:
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        with socket.socket() as caller:
            if caller.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise RuntimeError("slapd did not start")
