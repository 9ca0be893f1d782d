"""An authority of this process's tests, servers' certificates by it, and a client's view that believes it alone."""

import os
import ssl
from functools import cache
from pathlib import Path

from tests.support.nats_users import CA_FILE
from wepeople_provision.certificates import Pair, new_authority, new_server

HOSTS = ("127.0.0.1", "localhost")


@cache
def authority() -> Pair:
    return new_authority()


@cache
def trusting() -> ssl.SSLContext:
    """How a client checks a server: by the authority of a deployment in containers, if it is one, else by our own."""
    cafile = os.environ.get(CA_FILE)
    context = ssl.create_default_context(cafile=cafile, cadata=None if cafile else authority().certificate)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    return context


def write_ca(directory: Path) -> Path:
    """The authority's certificate as a file."""
    path = directory / "ca.crt"
    path.write_text(authority().certificate)
    return path


def write_server(directory: Path) -> tuple[Path, Path]:
    """A certificate for this machine's loopback and its key, as files."""
    pair = new_server(authority(), HOSTS)
    certificate, key = directory / "server.crt", directory / "server.key"
    certificate.write_text(pair.certificate)
    key.write_text(pair.key)
    return certificate, key
