"""Postgres addresses, which hold passwords: what is wrong with one is never said in words that repeat it."""

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict, make_conninfo

_PORT = "5432"

NOT_ONE = (
    "not a Postgres address that libpq understands (it is not shown, because it holds a password; letters such as "
    "@ / % in a password are written %40 %2F %25)"
)


def servers_of(address: str) -> list[tuple[str, str]]:
    """Host and port of each server that an address names, in their order."""
    parts = conninfo_to_dict(address)
    hosts, ports = str(parts.get("host", "127.0.0.1")).split(","), str(parts.get("port", "")).split(",")
    every = ports if len(ports) == len(hosts) else ports * len(hosts)
    return [(host, port or _PORT) for host, port in zip(hosts, every, strict=True)]


def reading_at(address: str, replica: str) -> str:
    """The address by which to read at a replica (`host` or `host:port`, with the same login), and at the servers of
    `address` when no standby answers.
    """
    servers = list(dict.fromkeys([_server(replica), *servers_of(address)]))
    hosts, ports = (",".join(part) for part in zip(*servers, strict=True))
    return make_conninfo(address, host=hosts, port=ports, target_session_attrs="prefer-standby")


def standby_at(address: str, replica: str) -> str:
    """The address of the replica alone, with the same login; it refuses whoever is no standby."""
    host, port = _server(replica)
    return make_conninfo(address, host=host, port=port, target_session_attrs="standby")


def _server(named: str) -> tuple[str, str]:
    host, _, port = named.partition(":")
    return host, port or _PORT


def checked_address(address: str) -> str:
    """The same address, if libpq takes it; otherwise `ValueError`, without libpq's own words: those quote it."""
    try:
        parts = conninfo_to_dict(address)
        for port in str(parts.get("port") or 0).split(","):
            int(port)
    except (ProgrammingError, ValueError):
        raise ValueError(NOT_ONE) from None
    if not address.startswith(("postgresql://", "postgres://")) or "@" in str(parts.get("host")):
        raise ValueError(NOT_ONE)
    return address
