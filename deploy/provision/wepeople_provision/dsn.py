"""Addresses of the same server for other logins and databases."""

from urllib.parse import quote

from psycopg.conninfo import conninfo_to_dict


def login_dsn(admin_dsn: str, role: str, password: str, database: str | None = None) -> str:
    """The libpq URI by which `role` reaches the server of `admin_dsn`, and its database unless another is named."""
    parts = conninfo_to_dict(admin_dsn)
    host, port = str(parts.get("host", "127.0.0.1")), str(parts.get("port", 5432))
    name = database or str(parts["dbname"])
    return f"postgresql://{quote(role)}:{quote(password, safe='')}@{host}:{port}/{quote(name)}"
