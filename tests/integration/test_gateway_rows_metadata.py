"""Metadata comes back from the timeline byte for byte, and its JSONB copy answers queries."""

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.client import client
from tests.support.operators import EVENT_TYPE, Operators
from tests.support.read_models import query, rows_of_request
from tests.support.system import RunningSystem

EXAMPLES = 15

SENT = [
    b"{}",
    b'{ "z" : 1 , "a" : 2 }',
    b'{"z":1,"a":2,"z":3}',
    b'{\r\n\t"indented":\t[ 1 ,\n 2 ]\n}',
    b'{"n":18446744073709551617}',
    b'{"n":-9223372036854775809}',
    b'{"n":0.1000}',
    b'{"n":1E+2}',
    b'{"n":-0.0}',
    b'{"n":1e400,"m":1e-400}',
    b'{"n":' + b"9" * 400 + b"}",
    b'{"n":3.141592653589793238462643383279502884197}',
    b'{"escaped":"\\u00e9\\u0041\\/\\b\\f\\n\\r\\t\\"\\\\"}',
    '{"plain":"é\u2028\u007f\ufeff😀"}'.encode(),
    b'{"pair":"\\ud83d\\ude00","\\ud83d\\ude00":1}',
    b'{"not a NUL":"\\\\u0000"}',
    b'{"":{"":[[],{},null,true,false]}}',
    b'{"a":' * 32 + b"1" + b"}" * 32,
    b'{"text":"' + b"x" * 16_373 + b'"}',
    b'{"' + b"k" * 16_378 + b'":1}',
    b'{"constructor":1,"__proto__":{"a":1},"$ref":"#"}',
]


def row(metadata: bytes) -> bytes:
    start = b'{"eventType":"%s","category":"code","actor":{"externalId":"eng-17"},"metadata":' % EVENT_TYPE.encode()
    return start + metadata + b"}"


async def timeline_of(system: RunningSystem, token: str, metadata: Sequence[bytes]) -> list[dict[str, Any]]:
    """The timeline's rows of a request that holds an event with each of these."""
    async with client(system.gateway_url, token) as api:
        answer = await api.post("/events", b'{"events": [' + b" ,\n".join(map(row, metadata)) + b"]}")
    assert answer.status == 202, answer
    return await rows_of_request(system.operator_dsn, answer.json()["requestId"], len(metadata))


def exactly(text: str | bytes) -> Any:
    """A JSON value whose numbers are exact; of keys that repeat the last counts, as in JSONB."""
    return json.loads(text, parse_int=Decimal, parse_float=Decimal)


async def test_metadata_comes_back_byte_for_byte(system: RunningSystem, operator: Operators) -> None:
    caller = await operator.caller()
    found = await timeline_of(system, caller.token, SENT)
    assert [row["metadata_raw"].encode() for row in found] == SENT


async def test_the_copy_for_queries_has_the_same_values(system: RunningSystem, operator: Operators) -> None:
    caller = await operator.caller()
    found = await timeline_of(system, caller.token, SENT)
    statement = "SELECT metadata::text AS text FROM live.timeline WHERE request_id = %(id)s ORDER BY row_index"
    copies = await query(system.operator_dsn, statement, {"id": found[0]["request_id"]})
    assert [exactly(copy["text"]) for copy in copies] == [exactly(raw) for raw in SENT]


async def test_the_copy_can_be_asked(system: RunningSystem, operator: Operators) -> None:
    caller = await operator.caller()
    await timeline_of(system, caller.token, SENT)

    async def raw_where(condition: str) -> list[str]:
        statement = f"SELECT metadata_raw FROM live.timeline WHERE org_id = %(org)s AND {condition}"
        return [row["metadata_raw"] for row in await query(system.operator_dsn, statement, {"org": caller.org_id})]

    assert await raw_where("(metadata ->> 'n')::numeric = 18446744073709551617") == ['{"n":18446744073709551617}']
    assert await raw_where("metadata @> '{\"z\": 3}'") == ['{"z":1,"a":2,"z":3}']
    assert await raw_where("metadata ->> 'pair' = '😀'") == [SENT[14].decode()]
    assert await raw_where("metadata @? '$.indented[*] ? (@ == 2)'") == [SENT[3].decode()]
    assert await raw_where("metadata ? '__proto__'") == [SENT[20].decode()]


_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12)
_numbers = st.integers(-(10**60), 10**60) | st.floats(allow_nan=False, allow_infinity=False)
_values = st.recursive(
    st.none() | st.booleans() | _numbers | _texts,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_texts, inner, max_size=4),
    max_leaves=12,
)
_metadata = st.builds(
    lambda value, indent, separators, ascii_only: json.dumps(
        value, indent=indent, separators=separators, ensure_ascii=ascii_only
    ).encode(),
    st.dictionaries(_texts, _values, max_size=5),
    st.sampled_from([None, 0, 3, "\t", "\r\n"]),
    st.sampled_from([(",", ":"), (" ,\t", "\n: ")]),
    st.booleans(),
)


@settings(
    max_examples=EXAMPLES,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(metadata=st.lists(_metadata, min_size=1, max_size=40))
async def test_any_metadata_comes_back_byte_for_byte_with_a_copy_of_the_same_values(
    system: RunningSystem, operator: Operators, metadata: list[bytes]
) -> None:
    caller = await operator.caller()
    found = await timeline_of(system, caller.token, metadata)
    assert [row["metadata_raw"].encode() for row in found] == metadata
    statement = "SELECT metadata::text AS text FROM live.timeline WHERE request_id = %(id)s ORDER BY row_index"
    copies = await query(system.operator_dsn, statement, {"id": found[0]["request_id"]})
    assert [exactly(copy["text"]) for copy in copies] == [exactly(raw) for raw in metadata]
