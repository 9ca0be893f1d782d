"""The gateway's certificate and its key, from files, and anew when they are replaced."""

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

from wepeople_chassis.logging import get_logger

log = get_logger(__name__)

_LOOK_SECONDS = 2.0
_HAS_EXPIRED = 10
"""OpenSSL's number of that reason."""

_Mark = tuple[int, int, int, int] | None
"""What tells one file from the one that took its place: device, inode, time of change in ns, bytes."""


class ServerCertificate:
    """The pair that new connections are shown. One that replaces it on the disk is taken without a restart; one that is
    no good is refused with a line of the log, and the old one stays.

    Errors of the first pair are those of `server_context`.
    """

    def __init__(self, certificate_file: Path, key_file: Path) -> None:
        self._files = (certificate_file, key_file)
        self._seen = self._tried = self._marks()
        self.context = server_context(certificate_file, key_file)

    async def follow(self) -> NoReturn:
        """Look again and again; a slow disk holds up nobody else."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            await asyncio.to_thread(self.look)

    def look(self) -> None:
        """Take what is on the disk if it is new, and has stood still since the last look, because the two files are
        replaced one after the other.
        """
        marks = self._marks()
        stood_still = marks == self._seen
        self._seen = marks
        if marks == self._tried or not stood_still:
            return
        self._tried = marks
        try:
            context = server_context(*self._files)
            _refuse_expired(context, self._files[0])
        except (OSError, ValueError) as error:
            log.warning("certificate_refused", error=str(error))
        else:
            self.context = context
            log.info("certificate_taken")

    def _marks(self) -> tuple[_Mark, ...]:
        return tuple(map(_mark, self._files))


def server_context(certificate_file: Path, key_file: Path) -> ssl.SSLContext:
    """For a server that shows this certificate, with those between it and its authority; `ValueError` when the files do
    not hold one, do not belong together, or want a passphrase, and `OSError` when they cannot be read.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])

    def no_passphrase() -> NoReturn:
        # Without this, OpenSSL would ask at the terminal.
        raise ValueError(f"{key_file} is encrypted, and nothing here has its passphrase: put the key there without one")

    try:
        context.load_cert_chain(certificate_file, key_file, no_passphrase)
    except ssl.SSLError as error:
        raise ValueError(f"{certificate_file} and {key_file} are no certificate and its key in PEM") from error
    return context


def _refuse_expired(context: ssl.SSLContext, certificate_file: Path) -> None:
    """`ValueError` when clients would refuse this server's certificate for its age: one is asked, in memory."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    client.load_verify_locations(certificate_file)
    to_server, to_client = ssl.MemoryBIO(), ssl.MemoryBIO()
    asking, answering = client.wrap_bio(to_client, to_server), context.wrap_bio(to_server, to_client, server_side=True)
    try:
        for side in (asking, answering, asking):
            with suppress(ssl.SSLWantReadError):
                side.do_handshake()
    except ssl.SSLCertVerificationError as error:
        if error.verify_code == _HAS_EXPIRED:
            raise ValueError(f"{certificate_file} has expired") from error


def _mark(file: Path) -> _Mark:
    try:
        found = file.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
