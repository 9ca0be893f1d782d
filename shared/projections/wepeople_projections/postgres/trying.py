"""Tries a projection's views before anything is built: what cannot be shown in the end is not worth a replay."""

from collections.abc import Mapping
from typing import Any

import psycopg
from psycopg import AsyncConnection, Rollback

from wepeople_projections.errors import DefinitionError
from wepeople_projections.postgres.quoting import quoted
from wepeople_projections.postgres.write import will_pass

_TRIED = "Tried"
"""No table or view of a projection begins with a capital."""


async def try_views(connection: AsyncConnection[Any], schema: str, views: Mapping[str, str]) -> None:
    """Make each view over the tables of a schema, and take it back; `DefinitionError` for the first that cannot be."""
    for name, select in views.items():
        try:
            async with connection.transaction():
                target = f"{quoted(schema)}.{quoted(_TRIED)}"
                create = f"CREATE VIEW {target} WITH (security_invoker = true) AS "
                statement = create + select.replace("{schema}", quoted(schema))
                # In binary, because Postgres then takes one statement only.
                await connection.execute(statement.encode(), binary=True)
                raise Rollback
        except (psycopg.Error, UnicodeError) as error:
            if isinstance(error, psycopg.Error) and will_pass(error):
                raise
            raise DefinitionError(f"view {name}", f"Postgres cannot make it: {_words(error)}") from error


def _words(error: psycopg.Error | UnicodeError) -> str:
    """What is wrong, in one line."""
    said = error.diag if isinstance(error, psycopg.Error) else None
    if said is None or said.message_primary is None:
        return str(error)
    return ". ".join(part for part in (said.message_primary, said.message_detail, said.message_hint) if part)
