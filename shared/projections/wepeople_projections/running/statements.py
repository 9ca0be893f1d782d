"""The statements of this package, in the schema of one projection."""

from functools import lru_cache

from wepeople_chassis.postgres import named_queries

_STATEMENTS = named_queries(__package__, "running.sql")


@lru_cache(maxsize=64)
def statements(schema: str) -> dict[str, str]:
    """The statements by name; a schema's name is plain (`is_name`), so it needs no quotes."""
    return {name: text.replace("{schema}", schema) for name, text in _STATEMENTS.items()}
