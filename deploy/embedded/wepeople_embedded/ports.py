"""Ports of the loopback."""

import random
import socket

from wepeople_embedded.errors import PortTaken

HOST = "127.0.0.1"
_PORTS = range(20_000, 32_768)
"""Below those of outgoing connections (Linux: net.ipv4.ip_local_port_range): a client may be given one of those in the
moment before its server listens.
"""


def is_free(port: int) -> bool:
    """Whether a server could listen on the port now."""
    with socket.socket() as probe:
        # As servers do: a port whose last connections are merely fading out is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """A port that nobody has at the moment."""
    return next(filter(is_free, random.sample(_PORTS, len(_PORTS))))


def require_free(port: int) -> None:
    """`PortTaken` when the port cannot be had."""
    if not is_free(port):
        raise PortTaken(port, free_port())
