"""Addresses of the same server for other logins and databases."""

from urllib.parse import quote, urlencode

from psycopg.conninfo import conninfo_to_dict

from wepeople_chassis.postgres_address import servers_of

_OF_ONE_LOGIN = ("host", "port", "dbname", "user", "password")


def login_dsn(admin_dsn: str, role: str, password: str, database: str | None = None) -> str:
    """The libpq URI by which `role` reaches the server of `admin_dsn`, and its database unless another is named.

    How the server is proved to be the right one (`sslmode`, `sslrootcert`) and what else the address says stays.
    """
    parts = conninfo_to_dict(admin_dsn)
    servers = ",".join(f"{host}:{port}" for host, port in servers_of(admin_dsn))
    name = database or str(parts["dbname"])
    rest = {key: value for key, value in parts.items() if key not in _OF_ONE_LOGIN}
    query = f"?{urlencode(rest, quote_via=quote)}" if rest else ""
    return f"postgresql://{quote(role)}:{quote(password, safe='')}@{servers}/{quote(name)}{query}"
