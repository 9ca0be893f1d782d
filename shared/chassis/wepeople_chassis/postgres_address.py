"""Postgres addresses, which hold passwords: what is wrong with one is never said in words that repeat it."""

from psycopg import ProgrammingError
from psycopg.conninfo import conninfo_to_dict

NOT_ONE = (
    "not a Postgres address that libpq understands (it is not shown, because it holds a password; letters such as "
    "@ / % in a password are written %40 %2F %25)"
)


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
