"""What a batch asks the database before it is folded."""

from collections.abc import Collection
from typing import Any

import msgspec
from psycopg import AsyncConnection

from wepeople_projections.folding.identity import Identifier
from wepeople_projections.running.statements import statements


async def find_bindings(
    connection: AsyncConnection[Any], schema: str, identifiers: Collection[Identifier]
) -> dict[Identifier, str | None]:
    """The worker that each identifier is bound to, or None."""
    if not identifiers:
        return {}
    asked = list(identifiers)
    lines = [
        {"n": n, "org_id": i.org_id, "kind": i.kind, "scope": i.scope, "value": i.value} for n, i in enumerate(asked)
    ]
    found = await _ask(connection, statements(schema)["find_bindings"], lines)
    return {asked[n]: worker_id for n, worker_id in found}


async def find_names(connection: AsyncConnection[Any], schema: str, event_ids: Collection[str]) -> set[str]:
    """Those of the named events that have been applied."""
    if not event_ids:
        return set()
    lines = [{"event_id": event_id} for event_id in event_ids]
    found = await _ask(connection, statements(schema)["find_names"], lines)
    return {event_id for (event_id,) in found}


async def _ask(connection: AsyncConnection[Any], statement: str, lines: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    # Planned each time: a plan made while the tables were small would stay until they are analyzed.
    cursor = await connection.execute(statement, [msgspec.json.encode(lines).decode()], prepare=False)
    return await cursor.fetchall()
