"""NATS addresses and authorities: what is wrong with one, said of a service's settings and of an operator's alike."""

import ipaddress
import ssl
from pathlib import Path
from urllib.parse import urlsplit


def checked_servers(url: str) -> str:
    """The same servers; `ValueError` when one is no address, or when some speak TLS and others do not."""
    schemes = set()
    for server in url.split(","):
        try:
            parts = urlsplit(server)
            named = parts.scheme in ("nats", "tls") and parts.hostname and parts.port != 0
        except ValueError:
            named = False
        if not named:
            raise ValueError("not addresses of NATS servers")
        schemes.add(parts.scheme)
    if len(schemes) > 1:
        raise ValueError("nats:// and tls:// together: either all servers speak TLS, or none")
    return url


def checked_authority(ca_file: Path | None) -> Path | None:
    """The same file, if it holds a certificate or is not there, which is said by itself; else `ValueError`."""
    try:
        ssl.create_default_context(cafile=ca_file)
    except ssl.SSLError:
        raise ValueError("there is no certificate in this file; it should be PEM") from None
    except OSError:
        return ca_file
    return ca_file


def refuse_plaintext(url: str, *, allowed: bool) -> None:
    """`ValueError` when one of these servers would be spoken to over a network in the clear."""
    servers = [urlsplit(server) for server in url.split(",")]
    if allowed or all(one.scheme == "tls" or is_loopback(one.hostname or "") for one in servers):
        return
    raise ValueError(
        "WEPEOPLE_NATS_URL is nats:// to another machine, where API keys would go over the network in the clear: "
        "make it tls://, or set WEPEOPLE_NATS_PLAINTEXT=true if the network between encrypts by itself"
    )


def is_loopback(host: str) -> bool:
    """Whether this machine talks to itself there."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
