"""Addresses of the same server for other logins and databases."""

from urllib.parse import quote, urlencode

from psycopg.conninfo import conninfo_to_dict

_OF_ONE_LOGIN = ("host", "port", "dbname", "user", "password")


def login_dsn(admin_dsn: str, role: str, password: str, database: str | None = None) -> str:
    """The libpq URI by which `role` reaches the server of `admin_dsn`, and its database unless another is named.

    How the server is proved to be the right one (`sslmode`, `sslrootcert`) and what else the address says stays.
    """
    parts = conninfo_to_dict(admin_dsn)
    host, port = str(parts.get("host", "127.0.0.1")), str(parts.get("port", 5432))
    name = database or str(parts["dbname"])
    rest = {key: value for key, value in parts.items() if key not in _OF_ONE_LOGIN}
    query = f"?{urlencode(rest, quote_via=quote)}" if rest else ""
    return f"postgresql://{quote(role)}:{quote(password, safe='')}@{host}:{port}/{quote(name)}{query}"
