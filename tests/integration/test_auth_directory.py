"""Orgs, apps and workers against the real service: every fact is in the stream, in order and once."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from pathlib import Path
from typing import Any

import pytest
from nats.js.errors import APIError
from psycopg import AsyncConnection

from tests.support.auth_process import Auth, refusal, running_auth, until
from tests.support.fresh import Fresh
from wepeople_auth.directory.facts import app_created, org_founded, outbox_fact
from wepeople_chassis.broker import NatsAddress, connect
from wepeople_chassis.reader import StreamReader
from wepeople_chassis.rpc import Refused
from wepeople_chassis.stream import StoredMessage, state_of
from wepeople_contracts.directory import AppCreated, OrgFounded, WorkersImported, decode_fact
from wepeople_contracts.envelope import MSG_ID_HEADER
from wepeople_contracts.operators import (
    AllowEventTypes,
    App,
    AppList,
    CreateApp,
    CreateOrg,
    Imported,
    ImportedWorker,
    ImportWorkers,
    ListApps,
    Nothing,
    Org,
    OrgList,
)
from wepeople_contracts.subjects import NO_APP, STREAM_SUBJECTS, STREAMS, ingest_subject
from wepeople_provision.stream import provision_streams
from wepeople_provision.stream_plan import Wishes


@pytest.fixture
async def auth(fresh: Fresh, tmp_path: Path) -> AsyncIterator[Auth]:
    async with running_auth(fresh.nats_url, fresh.dsn("auth"), tmp_path / "auth.log") as running:
        yield running


async def stored(auth: Auth) -> list[StoredMessage]:
    """Everything in the stream."""
    last = (await state_of(auth.connection, STREAMS[0])).last_sequence
    reader = StreamReader(auth.connection, stream=STREAMS[0], filter_subject=STREAM_SUBJECTS, after=0)
    messages: list[StoredMessage] = []
    async with aclosing(reader.batches()) as batches:
        async for batch in batches:
            messages += batch.messages
            if batch.through >= last:
                break
    return messages


async def count(fresh: Fresh, table: str) -> Any:
    async with await AsyncConnection.connect(fresh.admin_dsn) as connection:
        row = await (await connection.execute(f"SELECT count(*) FROM auth.{table}".encode())).fetchone()
    return row[0] if row else None


async def test_the_answer_comes_once_the_fact_is_in_the_stream_under_its_own_id(auth: Auth, fresh: Fresh) -> None:
    org = await auth.org("Acme")
    [founding] = await stored(auth)
    app = await auth.app(org)
    imported = await auth.command(
        "import_workers",
        ImportWorkers(org_id=org.org_id, workers=[ImportedWorker(email=" Alex@ACME.com", name="Alex")]),
        Imported,
    )
    messages = await stored(auth)
    founded, created, workers = (decode_fact(message.data) for message in messages)
    assert messages[0] == founding
    assert isinstance(founded, OrgFounded)
    assert (founded.org_id, founded.name, len(founded.salt)) == (org.org_id, "Acme", 32)
    assert isinstance(created, AppCreated)
    assert (created.org_id, created.app_id, created.connection) == (org.org_id, app.app_id, "custom:ci")
    assert isinstance(workers, WorkersImported)
    assert [(entry.email, entry.name) for entry in workers.workers] == [("alex@acme.com", "Alex")]
    assert imported == Imported(count=1, sequence=messages[2].sequence)
    assert [message.subject for message in messages] == [
        ingest_subject(org.org_id, NO_APP, "directory"),
        ingest_subject(org.org_id, app.app_id, "directory"),
        ingest_subject(org.org_id, NO_APP, "directory"),
    ]
    assert [message.message_id for message in messages] == [f.fact_id for f in (founded, created, workers)]
    assert await count(fresh, "outbox") == 0


async def test_the_largest_import_fits(auth: Auth) -> None:
    org = await auth.org()
    workers = [ImportedWorker(email=f"{n:0>300}@acme.com", name="x" * 200) for n in range(5000)]
    imported = await auth.command("import_workers", ImportWorkers(org_id=org.org_id, workers=workers), Imported)
    assert imported.count == 5000


async def test_of_two_creations_of_one_slug_one_wins_and_the_other_leaves_nothing(auth: Auth, fresh: Fresh) -> None:
    org = await auth.org()
    request = CreateApp(org_id=org.org_id, slug="ci", allowed_event_types=["deploy.shipped"])
    answers = await asyncio.gather(
        *(auth.command("create_app", request, App) for _ in range(8)), return_exceptions=True
    )
    [app] = [answer for answer in answers if isinstance(answer, App)]
    assert [a.error.code for a in answers if isinstance(a, Refused)] == ["already_exists"] * 7
    created = [decode_fact(message.data) for message in await stored(auth)][1:]
    assert [fact.app_id for fact in created if isinstance(fact, AppCreated)] == [app.app_id]
    assert await count(fresh, "apps") == 1
    assert await auth.command("list_apps", ListApps(org_id=org.org_id), AppList) == AppList(apps=[app])


async def test_the_same_slug_in_another_org_is_another_app(auth: Auth) -> None:
    first, second = await auth.org("One"), await auth.org("Two")
    assert (await auth.app(first)).app_id != (await auth.app(second)).app_id
    orgs = (await auth.command("list_orgs", Nothing(), OrgList)).orgs
    assert [(org.name, org.plan.name) for org in orgs] == [("One", "standard"), ("Two", "standard")]


async def test_what_breaks_a_rule_is_refused_with_what_to_do_and_leaves_nothing(auth: Auth, fresh: Fresh) -> None:
    org = await auth.org()
    app = await auth.app(org)
    twice = [ImportedWorker(email="a@acme.com"), ImportedWorker(email="A@acme.com")]
    cases: list[tuple[str, Any, type[Any], str, str]] = [
        ("create_org", CreateOrg(name="  "), Org, "invalid", "name"),
        ("create_org", CreateOrg(name="a\0b"), Org, "invalid", "control character"),
        ("create_org", CreateOrg(name="Gold", plan="gold"), Org, "not_found", "free, scale, standard"),
        ("create_app", CreateApp(org_id="org_none", slug="ci"), App, "not_found", "org list"),
        (
            "create_app",
            CreateApp(org_id=org.org_id, slug="x", allowed_event_types=["A B"]),
            App,
            "invalid",
            "deploy.shipped",
        ),
        ("list_apps", ListApps(org_id="org_none"), AppList, "not_found", "org list"),
        ("list_apps", ListApps(org_id=""), AppList, "not_found", "org list"),
        ("allow_event_types", AllowEventTypes(app_id="app_none", event_types=["a"]), App, "not_found", "app list"),
        ("allow_event_types", AllowEventTypes(app_id=app.app_id, event_types=["É"]), App, "invalid", "a-z"),
        ("import_workers", ImportWorkers(org_id="org_none", workers=twice[:1]), Imported, "not_found", "org list"),
        ("import_workers", ImportWorkers(org_id=org.org_id, workers=twice), Imported, "invalid", "twice"),
    ]
    for name, request, ok, code, hint in cases:
        error = await refusal(auth.command(name, request, ok))
        assert error.code == code, name
        assert hint in error.message
    assert len(await stored(auth)) == 2
    assert await count(fresh, "orgs") == 1


async def test_a_whitelist_grows_to_its_bound_and_no_further(auth: Auth) -> None:
    app = await auth.app(await auth.org(), event_types=tuple(f"type.{n}" for n in range(1000)))
    error = await refusal(
        auth.command("allow_event_types", AllowEventTypes(app_id=app.app_id, event_types=["one.more"]), App)
    )
    assert error.code == "invalid"
    assert "1000" in error.message


async def test_without_the_stream_a_command_is_refused_and_nothing_happened(auth: Auth, fresh: Fresh) -> None:
    await auth.connection.request(f"$JS.API.STREAM.DELETE.{STREAMS[0]}", b"", timeout=5)
    error = await refusal(auth.command("create_org", CreateOrg(name="Acme"), Org))
    assert error.code == "unavailable"
    assert "Nothing was changed" in error.message
    assert (await count(fresh, "orgs"), await count(fresh, "outbox")) == (0, 0)


async def test_of_a_full_stream_a_command_says_that_it_is_full_and_its_fact_goes_in_once_there_is_room(
    auth: Auth, fresh: Fresh
) -> None:
    org = await auth.org()
    await provision_streams(auth.connection, Wishes(max_bytes=100_000))
    for size in (500, 50, 1):
        with suppress(APIError):
            while True:
                await auth.connection.jetstream().publish(ingest_subject(org.org_id, NO_APP, "directory"), bytes(size))
    error = await refusal(auth.app(org))
    assert error.code == "unavailable"
    assert "is created, but the stream does not know of it yet, as a stream is full" in error.message
    await provision_streams(auth.connection, Wishes(max_bytes=200_000))
    await until(lambda: _is_empty(fresh))


async def test_what_a_crash_left_in_the_outbox_is_sent_at_the_start_in_order_and_once(
    fresh: Fresh, tmp_path: Path
) -> None:
    """Ten facts are committed; of the first three the process died between PubAck and delete."""
    facts = [outbox_fact(app_created("org_1", f"app-{n}")) for n in range(10)]
    connection = await connect(NatsAddress(fresh.nats_url), "test-crash")
    for fact in facts[:3]:
        headers = {MSG_ID_HEADER: fact.fact_id}
        await connection.jetstream().publish(fact.subject, fact.body, headers=headers)
    await connection.close()
    async with await AsyncConnection.connect(fresh.admin_dsn) as database:
        for fact in facts:
            await database.execute(
                "INSERT INTO auth.outbox (fact_id, org_id, subject, body) VALUES (%s, %s, %s, %s)",
                [fact.fact_id, fact.org_id, fact.subject, fact.body],
            )
    async with running_auth(fresh.nats_url, fresh.dsn("auth"), tmp_path / "auth.log") as auth:
        await until(lambda: _is_empty(fresh))
        assert [message.message_id for message in await stored(auth)] == [fact.fact_id for fact in facts]


async def test_no_key_is_issued_while_its_app_is_not_in_the_stream(auth: Auth, fresh: Fresh) -> None:
    app = await auth.app(await auth.org())
    await auth.connection.request(f"$JS.API.STREAM.DELETE.{STREAMS[0]}", b"", timeout=5)
    left_over = outbox_fact(org_founded("Acme"))
    async with await AsyncConnection.connect(fresh.admin_dsn) as database:
        await database.execute(
            "INSERT INTO auth.outbox (fact_id, org_id, subject, body) VALUES (%s, %s, %s, %s)",
            [left_over.fact_id, app.org_id, left_over.subject, left_over.body],
        )
    error = await refusal(auth.key(app))
    assert error.code == "unavailable"
    await provision_streams(auth.connection)
    await until(lambda: _is_empty(fresh))
    key = await auth.key(app)
    assert (await auth.authenticate(key.token)).app_id == app.app_id


async def _is_empty(fresh: Fresh) -> bool:
    return bool(await count(fresh, "outbox") == 0)
