"""The commands that read the read models, through the real `wepeople`."""

from collections.abc import AsyncIterator

import pytest

from tests.support.fresh import Fresh, Template, fresh_system
from tests.support.projecting import Projecting, running_projector
from tests.support.shell import as_operator as wepeople
from tests.support.stored import RECEIVED_AT_US, envelope, founded, imported, raw
from wepeople_contracts.ids import new_id, worker_id
from wepeople_embedded.ports import free_port

ORG, OTHER_ORG = new_id("org"), new_id("org")
ALEX = worker_id(founded(ORG).salt, "externalId", "app_1", "eng-17")
METADATA = '{"tags": ["[red]", "[bold]x"]}'
METRICS = b'{"waiting": 5, "active": 2}'


def event(metadata: str = "{}", **actor: str) -> bytes:
    fields = raw({"eventType": "deploy.shipped", "category": "code", "duration": 612, "actor": actor})
    return fields[:-1] + f', "metadata": {metadata}}}'.encode()


@pytest.fixture(scope="module")
async def fresh(template: Template) -> AsyncIterator[Fresh]:
    async with fresh_system(template) as ready:
        yield ready


@pytest.fixture(scope="module", autouse=True)
async def projecting(fresh: Fresh, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Projecting]:
    """Two orgs that both know an `eng-18`, and one worker with events and a snapshot."""
    logs = tmp_path_factory.mktemp("projector")
    async with running_projector(fresh.nats_url, fresh.dsn("projector"), fresh.admin_dsn, logs) as running:
        rows = [event(externalId="eng-17", email="alex@acme.com"), event(METADATA, externalId="eng-17")]
        snapshot = raw({"snapshotType": "oncall_queue", "actor": {"email": "alex@acme.com"}})
        snapshot = snapshot[:-1] + b', "metrics": ' + METRICS + b"}"
        await running.stored_and_applied(
            founded(ORG),
            envelope(ORG, [*rows, event(externalId="eng-18")], received_at_us=RECEIVED_AT_US),
            envelope(ORG, [snapshot], kind="snapshot"),
            imported(ORG, ("alex@acme.com", "Alex")),
        )
        await running.stored_and_applied(
            founded(OTHER_ORG), envelope(OTHER_ORG, [event(externalId="eng-18")], app_id="app_9")
        )
        yield running


async def test_an_orgs_workers_are_listed_by_its_id_or_name(fresh: Fresh) -> None:
    listed = (await wepeople(fresh, "worker", "list", ORG, "--json")).json
    assert {w["external_ids"][0]: w["name"] for w in listed} == {"eng-17": "Alex", "eng-18": None}
    assert (await wepeople(fresh, "worker", "list", f"Org {ORG}", "--json")).json == listed


@pytest.mark.parametrize("name", [ALEX, "eng-17", " Alex@ACME.com"], ids=["id", "external id", "email"])
async def test_a_worker_is_shown_by_its_id_external_id_or_email(fresh: Fresh, name: str) -> None:
    [worker] = (await wepeople(fresh, "worker", "show", name, "--json")).json
    assert (worker["worker_id"], worker["org_id"], worker["in_directory"]) == (ALEX, ORG, True)
    assert (worker["emails"], worker["connections"]) == (["alex@acme.com"], ["custom:ci"])


async def test_a_name_that_two_workers_have_is_refused_with_their_ids(fresh: Fresh) -> None:
    refused = await wepeople(fresh, "timeline", "eng-18")
    assert refused.code == 1
    assert ORG in refused.stderr
    assert OTHER_ORG in refused.stderr


async def test_a_timeline_shows_the_newest_first_and_metadata_as_it_was_sent(fresh: Fresh) -> None:
    newest, first = (await wepeople(fresh, "timeline", "eng-17", "--json")).json
    assert (newest["metadata_raw"], newest["row_index"], first["row_index"]) == (METADATA, 1, 0)
    assert newest["occurred_at"] == "2026-04-19T12:00:00+00:00"
    assert (await wepeople(fresh, "timeline", "eng-17", "--limit", "1", "--json")).json == [newest]
    assert METADATA in (await wepeople(fresh, "timeline", "eng-17", COLUMNS="400")).stdout


async def test_snapshots_show_metrics_in_their_order(fresh: Fresh) -> None:
    [snapshot] = (await wepeople(fresh, "snapshots", "alex@acme.com", "--json")).json
    assert list(snapshot["metrics"]) == ["waiting", "active"]
    assert (snapshot["snapshot_type"], snapshot["connection"]) == ("oncall_queue", "custom:ci")


async def test_status_counts_what_was_not_applied_yet(fresh: Fresh, projecting: Projecting) -> None:
    before = (await wepeople(fresh, "status", "--json")).json
    assert before["projections"] == [{"projection": "live_v1", "lag_messages": 0, "lag_seconds": 0.0, "parked": 0}]
    assert (before["streams"][0]["messages"], before["streams"][0]["last_sequence"]) == (6, 6)
    assert {s["service"] for s in before["services"] if s["ready"]} == {"projector"}
    assert {o["org_id"] for o in before["usage"]} == {ORG, OTHER_ORG}

    await projecting.process.stop()
    try:
        await projecting.store(*(envelope(ORG, [event(externalId="eng-17")]) for _ in range(3)))
        behind = (await wepeople(fresh, "status", "--json")).json
        assert behind["projections"][0]["lag_messages"] == 3
        assert behind["projections"][0]["lag_seconds"] > 0
        assert not any(s["ready"] for s in behind["services"])
        table = await wepeople(fresh, "status")
        assert "live_v1" in table.stdout
    finally:
        projecting.process.start()
        await projecting.process.wait_ready(projecting.connection)


async def test_a_database_that_does_not_answer_is_named_and_does_not_hide_the_rest_of_the_status(fresh: Fresh) -> None:
    nowhere = {"WEPEOPLE_POSTGRES_DSN": f"postgresql://wepeople_operator:x@127.0.0.1:{free_port()}/wepeople"}
    refused = await wepeople(fresh, "timeline", "eng-17", **nowhere)
    assert refused.code == 1
    assert "Postgres does not answer at 127.0.0.1" in refused.stderr
    assert "Traceback" not in refused.stderr
    status = (await wepeople(fresh, "status", "--json", **nowhere)).json
    assert status["streams"][0]["messages"] >= 6
    assert "Postgres does not answer" in status["notes"][0]


@pytest.mark.parametrize("command", ["worker list", "worker show", "timeline", "snapshots", "status"])
async def test_help_has_an_example_that_can_be_typed(fresh: Fresh, command: str) -> None:
    text = (await wepeople(fresh, *command.split(), "--help", COLUMNS="200")).stdout
    assert f"wepeople {command}" in text.split("xample")[1]
