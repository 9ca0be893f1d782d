"""Keys in Postgres."""

from psycopg.rows import class_row, dict_row

from wepeople_auth.database import (
    act_for_org_of_app,
    act_for_org_of_key,
    load_queries,
    one_round_trip,
    transaction,
)
from wepeople_auth.keys.states import KeyState
from wepeople_chassis.postgres import Pool
from wepeople_contracts.auth import Principal
from wepeople_contracts.operators import Key

_QUERIES = load_queries("wepeople_auth.keys", "keys.sql")


class KeyStore:
    """Reads and writes keys; every method raises `DatabaseAway` when Postgres does not answer."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def read_state(self, key_id: str) -> KeyState | None:
        """The key with its app, whitelist and plan, in one round trip; None for an unknown id."""
        async with one_round_trip(self._pool, wait_seconds=1.0) as connection:
            await act_for_org_of_key(connection, key_id)
            cursor = connection.cursor(row_factory=dict_row)
            await cursor.execute(_QUERIES["key_state"], {"key_id": key_id})
        row = await cursor.fetchone()
        if row is None:
            return None
        return KeyState(hash=row.pop("hash"), revoked=row.pop("revoked"), principal=Principal(**row))

    async def app_waits_for_stream(self, app_id: str) -> bool | None:
        """Whether facts of the app's org are still on their way into the stream; None for an unknown app."""
        async with transaction(self._pool) as connection:
            await act_for_org_of_app(connection, app_id)
            found = await connection.execute(_QUERIES["app_readiness"], {"app_id": app_id})
            row = await found.fetchone()
        return bool(row[0]) if row else None

    async def insert(self, *, key_id: str, app_id: str, name: str, hashed: str, requests_per_second: int | None) -> Key:
        """Store a new key's hash."""
        values = {
            "key_id": key_id,
            "app_id": app_id,
            "name": name,
            "hash": hashed,
            "requests_per_second": requests_per_second,
        }
        async with transaction(self._pool) as connection, connection.cursor(row_factory=class_row(Key)) as cursor:
            await act_for_org_of_app(connection, app_id)
            await cursor.execute(_QUERIES["insert_key"], values)
            key = await cursor.fetchone()
        assert key is not None
        return key

    async def list_of(self, app_id: str) -> list[Key]:
        """An app's keys, oldest first, revoked ones included."""
        async with transaction(self._pool) as connection, connection.cursor(row_factory=class_row(Key)) as cursor:
            await act_for_org_of_app(connection, app_id)
            await cursor.execute(_QUERIES["list_keys"], {"app_id": app_id})
            return await cursor.fetchall()

    async def revoke(self, key_id: str) -> Key | None:
        """Mark a key revoked; one that was already keeps its time. None for an unknown id."""
        async with transaction(self._pool) as connection, connection.cursor(row_factory=class_row(Key)) as cursor:
            await act_for_org_of_key(connection, key_id)
            await cursor.execute(_QUERIES["revoke_key"], {"key_id": key_id})
            return await cursor.fetchone()
