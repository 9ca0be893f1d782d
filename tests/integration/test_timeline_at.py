"""`--at`: what timeline, snapshots and worker said at a sequence or at a time, by replay, through the real command."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.fresh import Fresh, Template, fresh_system
from tests.support.projecting import Projecting, running_projector
from tests.support.shell import as_operator as wepeople
from tests.support.stored import envelope, founded, imported, raw, store_bytes
from wepeople_chassis.operator import Operator
from wepeople_contracts.ids import new_id
from wepeople_contracts.subjects import STREAMS, ingest_subject
from wepeople_projector.history import point_of, rows_at
from wepeople_projector.reading import find_worker, read_models, rows

ORG, OTHER = new_id("org"), new_id("org")
WORKER = "eng-17"
QUERIES: dict[str, dict[str, int]] = {"timeline": {"limit": 3}, "snapshots": {}, "worker": {}}
FAR = "999999999"


@pytest.fixture(scope="module")
async def fresh(template: Template) -> AsyncIterator[Fresh]:
    async with fresh_system(template) as ready:
        yield ready


@pytest.fixture(scope="module", autouse=True)
async def projecting(fresh: Fresh, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Projecting]:
    logs = tmp_path_factory.mktemp("projector")
    async with running_projector(fresh.nats_url, fresh.dsn("projector"), fresh.admin_dsn, logs) as running:
        yield running


def operator(fresh: Fresh) -> Operator:
    return Operator(nats_url=fresh.nats_url, postgres_dsn=fresh.dsn("operator"))


async def said_now(fresh: Fresh) -> list[Any]:
    async with read_models(operator(fresh)) as models:
        worker = await find_worker(models, WORKER)
        return [await rows(models, query, **worker, **more) for query, more in QUERIES.items()]


async def said_at(fresh: Fresh, point: object) -> list[Any]:
    async with read_models(operator(fresh)) as models:
        worker = await find_worker(models, WORKER)
    return [
        await rows_at(operator(fresh), query, worker, point_of(str(point)), **more) for query, more in QUERIES.items()
    ]


def event(metadata: str = '{"n": 1}', **actor: str) -> bytes:
    fields = raw({"eventType": "deploy.shipped", "category": "code", "actor": actor, "duration": 1.5})
    return fields[:-1] + f', "metadata": {metadata}}}'.encode()


def snapshot(value: int, **actor: str) -> bytes:
    return raw({"snapshotType": "gauge", "actor": actor, "metrics": {"z": value, "a": value}})


async def test_it_says_of_each_point_what_was_said_then(fresh: Fresh, projecting: Projecting) -> None:
    """The read models are asked after each message; later, the replay to that message has to say the same."""
    await projecting.stored_and_applied(founded(ORG), founded(OTHER))
    messages = (
        envelope(ORG, [event(externalId=WORKER), event('{ "b": 1.0, "a": 2, "b": 3 }', externalId=WORKER)]),
        envelope(ORG, [snapshot(1, externalId=WORKER)], kind="snapshot"),
        envelope(ORG, [event(externalId=WORKER, email="alex@acme.com"), event(externalId="somebody-else")]),
        imported(ORG, ("alex@acme.com", "Alex")),
        envelope(ORG, [snapshot(2, email="alex@acme.com")], app_id="app_2", slug="hr", kind="snapshot"),
        envelope(ORG, [event("{}", email="alex@acme.com")], app_id="app_2", slug="hr"),
    )
    said: dict[int, list[Any]] = {}
    times: dict[int, datetime] = {}
    for message in messages:
        sequence = await projecting.stored_and_applied(message)
        await projecting.stored_and_applied(envelope(OTHER, [event(externalId=WORKER + "x")]))
        said[sequence] = await said_now(fresh)
        times[sequence] = datetime.now(UTC)
    for sequence, then in said.items():
        assert await said_at(fresh, sequence) == then, sequence
        assert await said_at(fresh, times[sequence].isoformat()) == then, sequence
    assert await said_at(fresh, min(said) - 1) == [[], [], []]
    assert await said_at(fresh, "2020-01-01") == [[], [], []]


async def test_a_point_beyond_the_end_is_now(fresh: Fresh) -> None:
    assert await said_at(fresh, FAR) == await said_now(fresh)
    assert await said_at(fresh, "2999-01-01T00:00Z") == await said_now(fresh)


@pytest.mark.parametrize(
    "command", [("timeline", WORKER, "--limit", "3"), ("snapshots", WORKER), ("worker", "show", WORKER)]
)
async def test_the_command_says_the_same_with_it(fresh: Fresh, command: tuple[str, ...]) -> None:
    now, then = await wepeople(fresh, *command, "--json"), await wepeople(fresh, *command, "--at", FAR, "--json")
    assert now.json == then.json


async def test_the_table_shows_the_newest_first(fresh: Fresh) -> None:
    text = (await wepeople(fresh, "timeline", WORKER, "--at", FAR)).stdout
    assert text.index("custom:hr") < text.index("custom:ci")


async def test_what_could_not_be_applied_is_said(fresh: Fresh, projecting: Projecting) -> None:
    subject = ingest_subject(ORG, "app_1", "events")
    await projecting.applied(await store_bytes(projecting.connection, subject, b"garbage", new_id("m")))
    shown = await wepeople(fresh, "timeline", WORKER, "--at", FAR, "--json")
    assert "1 rows of this org could not be applied" in shown.stderr
    assert len(shown.json) == 4


async def test_what_is_no_point_is_refused_in_words(fresh: Fresh) -> None:
    refused = await wepeople(fresh, "timeline", WORKER, "--at", "yesterday")
    assert refused.code == 2
    assert "neither a sequence" in refused.stderr


async def test_the_point_is_looked_at_before_the_name(fresh: Fresh) -> None:
    refused = await wepeople(fresh, "timeline", "nobody-at-all", "--at", "yesterday")
    assert refused.code == 2
    assert "neither a sequence" in refused.stderr


async def test_that_names_are_those_of_now_is_said(fresh: Fresh) -> None:
    refused = await wepeople(fresh, "timeline", "nobody-at-all", "--at", "1")
    assert refused.code == 1
    assert "nobody-at-all now, which is when names are looked up, whatever --at says." in refused.stderr


async def test_a_stream_whose_beginning_is_gone_is_not_guessed_at(fresh: Fresh, projecting: Projecting) -> None:
    await projecting.connection.jetstream().purge_stream(STREAMS[0], seq=3)
    refused = await wepeople(fresh, "timeline", WORKER, "--at", FAR)
    assert refused.code == 1
    assert "were trimmed" in refused.stderr
