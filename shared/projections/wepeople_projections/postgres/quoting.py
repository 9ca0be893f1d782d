"""Names in statements."""


def quoted(name: str) -> str:
    """A schema, table, column or view in a statement, whatever its name is: it may be a word of SQL."""
    return '"' + name.replace('"', '""') + '"'
