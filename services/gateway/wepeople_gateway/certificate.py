"""The gateway's certificate and its key, from files."""

import ssl
from pathlib import Path
from typing import NoReturn


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
