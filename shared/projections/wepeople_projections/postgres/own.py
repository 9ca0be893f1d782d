"""Statements of a projection's own: what they may be, and how they are run."""

import re
from typing import Any

from psycopg import AsyncConnection

from wepeople_projections.definition.operations import Sql
from wepeople_projections.errors import OperationError
from wepeople_projections.postgres.quoting import quoted

_KINDS = ("SELECT", "INSERT", "UPDATE", "DELETE", "MERGE", "WITH")
# Comments may be nested for Postgres: one that is hides what comes first, so none is passed over.
_FIRST_WORD = re.compile(r"(?:[\s(]|--[^\n]*\n|/\*(?:(?!/\*).)*?\*/)*([A-Za-z]+)", re.DOTALL)
_SHOWN_LENGTH = 200


async def run_own(connection: AsyncConnection[Any], schema: str, operation: Sql) -> None:
    """Run one, in sight of its own schema; `OperationError` for what is no statement about rows, as that might end the
    transaction or change what comes after it.
    """
    statement: Any = operation.statement
    if not isinstance(statement, str):
        raise OperationError(f"sql() takes a statement as text, not {type(statement).__name__}")
    first = _FIRST_WORD.match(statement)
    if first is None or first[1].upper() not in _KINDS:
        raise OperationError(f"sql() takes {', '.join(_KINDS)} and nothing else, not {shown(operation)}")
    await connection.execute("SELECT set_config('search_path', %s, true)", [quoted(schema)])
    # In binary, because Postgres then takes one statement only: a second one might be a COMMIT.
    await connection.execute(statement, operation.parameters, binary=True)


def shown(operation: Sql) -> str:
    """The statement, as it is told in a reason."""
    return repr(operation.statement[:_SHOWN_LENGTH])
