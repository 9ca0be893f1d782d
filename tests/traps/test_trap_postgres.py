"""What Postgres does, and which workaround rests on it. When one of these fails, its workaround may go."""

import json
from collections.abc import AsyncIterator

import psycopg
import pytest
from psycopg import AsyncConnection
from psycopg.rows import TupleRow

from tests.support.servers import Servers

ORDERED = '{"waiting": 5, "active": 2, "p95_ack": 3.4}'


@pytest.fixture
async def postgres(servers: Servers) -> AsyncIterator[AsyncConnection[TupleRow]]:
    """A connection that changes nothing."""
    async with await AsyncConnection.connect(servers.admin_dsn, autocommit=True) as connection:
        yield connection


async def as_text(connection: AsyncConnection[TupleRow], json_type: bytes, text: str) -> str:
    """What comes back of a text that was stored as json or jsonb."""
    found = await (await connection.execute(b"SELECT (%s::" + json_type + b")::text", [text])).fetchone()
    assert found is not None
    assert isinstance(found[0], str)
    return found[0]


async def test_jsonb_reorders_keys_hence_metrics_are_json_and_metadata_raw_is_kept(
    postgres: AsyncConnection[TupleRow],
) -> None:
    assert list(json.loads(await as_text(postgres, b"jsonb", ORDERED))) == ["active", "p95_ack", "waiting"]
    assert await as_text(postgres, b"json", ORDERED) == ORDERED


async def test_jsonb_keeps_the_last_of_duplicate_keys_and_drops_spaces_hence_metadata_raw(
    postgres: AsyncConnection[TupleRow],
) -> None:
    assert await as_text(postgres, b"jsonb", '{"a":1,  "a":2}') == '{"a": 2}'


async def test_jsonb_refuses_nul_hence_the_gateways_rule(postgres: AsyncConnection[TupleRow]) -> None:
    with pytest.raises(psycopg.errors.UntranslatableCharacter):
        await as_text(postgres, b"jsonb", '{"a": "\\u0000"}')


async def test_jsonb_refuses_half_a_surrogate_pair_hence_the_gateways_rule(
    postgres: AsyncConnection[TupleRow],
) -> None:
    with pytest.raises(psycopg.errors.InvalidTextRepresentation):
        await as_text(postgres, b"jsonb", '{"a": "\\ud83d"}')


async def test_a_short_number_can_be_a_long_one_to_jsonb_hence_the_gateways_limit_of_exponents(
    postgres: AsyncConnection[TupleRow],
) -> None:
    assert len(await as_text(postgres, b"jsonb", '{"a": 1e100000}')) > 100_000
    with pytest.raises(psycopg.errors.NumericValueOutOfRange):
        await as_text(postgres, b"jsonb", '{"a": 1e200000}')
