"""Sites with different host names over https, on one machine: a certificate made for the run, and nginx in front.

A browser option resolves the names and trusts the certificate by the fingerprint of its key; programs trust it through
SSL_CERT_FILE. The machine's configuration is not changed.
"""

import base64
import hashlib
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

START_SECONDS = 20

CONFIGURATION = """
daemon off;
master_process off;
error_log {folder}/error.log warn;
pid {folder}/nginx.pid;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    ssl_certificate {certificate.file};
    ssl_certificate_key {certificate.key_file};
    {sites}
}}
"""
SITE = """
    server {{
        listen 127.0.0.1:{port} ssl;
        server_name {name} 127.0.0.1;
        location / {{
            proxy_pass http://127.0.0.1:{upstream};
            proxy_set_header Host {name}:{port};
            proxy_set_header X-Forwarded-For $remote_addr;
            proxy_set_header X-Forwarded-Proto https;
            proxy_set_header X-Forwarded-Host {name}:{port};
        }}
    }}
"""


@dataclass(frozen=True)
class Certificate:
    """A certificate, its key, and the authority that signed it, as files; `pin` names its key for a browser."""

    file: Path
    key_file: Path
    authority_file: Path
    pin: str


def find_nginx() -> str | None:
    """Return the machine's nginx."""
    return shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")


def make_certificate(folder: Path, names: Sequence[str]) -> Certificate:
    """Create a certificate authority, and a certificate for *names*, which may also be IPs."""
    authority_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    authority_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "The authority of this test")])
    authority_id = x509.SubjectKeyIdentifier.from_public_key(authority_key.public_key())
    authority = (
        _builder(authority_name, authority_name, authority_key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(authority_id, critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    own_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0])])
    known_as = [x509.IPAddress(ip_address(name)) if name[0].isdigit() else x509.DNSName(name) for name in names]
    leaf = (
        _builder(own_name, authority_name, key)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName(known_as), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(authority_id), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    made = Certificate(folder / "site.pem", folder / "site.key", folder / "authority.pem", _pin(key))
    made.file.write_bytes(leaf.public_bytes(Encoding.PEM))
    made.authority_file.write_bytes(authority.public_bytes(Encoding.PEM))
    made.key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return made


@contextmanager
def terminating_tls(
    nginx: str, folder: Path, certificate: Certificate, sites: Mapping[str, tuple[int, int]]
) -> Iterator[None]:
    """Run nginx for *sites*: name -> (the port it is reached at over https, the port of the program behind it)."""
    blocks = [SITE.format(name=name, port=port, upstream=upstream) for name, (port, upstream) in sites.items()]
    file = folder / "nginx.conf"
    file.write_text(CONFIGURATION.format(folder=folder, certificate=certificate, sites="".join(blocks)))
    with (folder / "nginx.log").open("wb") as log:
        process = subprocess.Popen(
            [nginx, "-c", str(file), "-p", str(folder), "-e", str(folder / "error.log")],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        for port, _upstream in sites.values():
            _wait_for(port, process, folder)
        yield
    finally:
        process.send_signal(signal.SIGQUIT)  # lets requests under way finish
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def browser_arguments(certificate: Certificate, names: Sequence[str]) -> list[str]:
    """Return what makes Chromium find *names* on this machine, and trust *certificate* and no other stranger."""
    rules = ", ".join(f"MAP {name} 127.0.0.1" for name in names)
    return [f"--host-resolver-rules={rules}", f"--ignore-certificate-errors-spki-list={certificate.pin}"]


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=1))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pin(key: ec.EllipticCurvePrivateKey) -> str:
    info = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return base64.b64encode(hashlib.sha256(info).digest()).decode()


def _wait_for(port: int, process: subprocess.Popen[bytes], folder: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with socket.socket() as caller:
            if caller.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.02)
    logs = "".join((folder / name).read_text() for name in ("nginx.log", "error.log") if (folder / name).exists())
    raise RuntimeError(f"nginx does not listen on {port}:\n{logs}")
