"""`wepeople projection …` from the first run to the last drop, as an analyst types it."""

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.analyst import DEPLOYS, Analyst, analyst_of, deploy
from tests.support.fresh import Fresh
from tests.support.read_models import eventually
from tests.support.stored import envelope, store


@pytest.fixture
async def analyst(fresh: Fresh, tmp_path: Path) -> AsyncIterator[Analyst]:
    """With an org that was founded, and no events yet."""
    async with analyst_of(fresh, tmp_path) as ready:
        yield ready


async def test_a_run_to_a_sequence_builds_that_much_and_ends(analyst: Analyst) -> None:
    last = await analyst.store(4)
    await analyst.store(2)
    result = await analyst.projection("run", analyst.write(), "--to", str(last))
    assert (result.code, result.stdout) == (0, "")
    assert "deploys_v1: 5 of 5 messages (100%), 12 rows" in result.stderr
    assert await analyst.deploys() == {"api": 4, "web": 4, "jobs": 4}


async def test_a_run_without_an_end_follows_the_stream_until_ctrl_c_and_the_next_goes_on(analyst: Analyst) -> None:
    file = analyst.write()
    await analyst.store(2)
    async with analyst.running("run", file) as running:
        await analyst.counted(6)
        await analyst.store(1)
        await analyst.counted(9)
        interrupted = await running.interrupt()
    assert interrupted.code == 130
    assert "The same command goes on where this one stopped" in interrupted.stderr
    assert "Traceback" not in interrupted.stderr
    await analyst.store(1)
    async with analyst.running("run", file):
        await analyst.counted(12)


@pytest.mark.slow
async def test_a_run_that_was_killed_goes_on_and_counts_nothing_twice(analyst: Analyst) -> None:
    file = analyst.write()
    await analyst.store_much(1_500)
    async with analyst.running("run", file) as running:
        await eventually(
            lambda: analyst.rows("SELECT to_regclass('deploys_v1.checkpoint') AS it"), lambda found: found[0]["it"]
        )
        await eventually(lambda: analyst.rows("SELECT FROM deploys_v1.checkpoint WHERE rows > 0"), bool)
        await running.kill()
    async with analyst.running("run", file):
        await analyst.counted(4_501)


@pytest.mark.slow
async def test_two_runs_of_the_same_share_the_work_and_count_nothing_twice(analyst: Analyst) -> None:
    file = analyst.write()
    async with analyst.running("run", file), analyst.running("run", file):
        await eventually(
            lambda: analyst.projection("status", "deploys", "--json"),
            lambda found: found.code == 0 and found.json[0]["processes"] == 2,
        )
        await analyst.store_much(600)
        await analyst.counted(1_801)


async def test_progress_for_scripts_is_an_object_a_line(analyst: Analyst) -> None:
    last = await analyst.store(3)
    result = await analyst.projection("run", analyst.write(), "--to", str(last), "--json")
    assert result.code == 0
    final = json.loads(result.stdout.splitlines()[-1])
    assert (final["progress"], final["messages"], final["total"], final["rows"]) == ("deploys_v1", 4, 4, 9)


async def test_what_was_chosen_is_kept_and_nothing_else_goes_on_with_it(analyst: Analyst) -> None:
    first, last = await analyst.store(1), await analyst.store(1)
    file = analyst.write()
    choice = ("--from", str(last), "--to", str(last), "--org", analyst.org_id, "--type", "deploy.*")
    assert (await analyst.projection("run", file, *choice)).code == 0
    assert sum((await analyst.deploys()).values()) == 3
    refused = await analyst.projection("run", file, "--from", str(first))
    assert refused.code == 1
    assert f"was made with --from {last} --to {last} --org {analyst.org_id}" in refused.stderr
    assert (await analyst.projection("run", file)).code == 0
    [listed] = (await analyst.projection("list", "--json")).json
    assert listed["selection"] == " ".join(choice)


async def test_a_time_chooses_what_was_stored_since(analyst: Analyst) -> None:
    await analyst.store(1)
    between = await analyst.store(1)
    [stored] = [await analyst.connection.jetstream().get_msg("INGEST", between)]
    assert stored.time is not None
    file = analyst.write()
    assert (await analyst.projection("run", file, "--to", stored.time.isoformat())).code == 0
    assert sum((await analyst.deploys()).values()) == 3
    future = await analyst.projection(
        "run", analyst.write(DEPLOYS.replace("version = 1", "version = 2")), "--to", "2199-01-01"
    )
    assert future.code == 1
    assert "Leave it away" in future.stderr


async def test_other_tables_need_another_version(analyst: Analyst) -> None:
    last = await analyst.store(1)
    assert (await analyst.projection("run", analyst.write(), "--to", str(last))).code == 0
    file = analyst.write(DEPLOYS.replace("deploys: Sum[int]", "deploys: Sum[int]\n    failed: Sum[int] = 0"))
    refused = await analyst.projection("run", file)
    assert refused.code == 1
    assert "Give it version = 2" in refused.stderr


async def test_other_code_with_the_same_tables_goes_on_and_says_so(analyst: Analyst) -> None:
    last = await analyst.store(1)
    assert (await analyst.projection("run", analyst.write(), "--to", str(last))).code == 0
    changed = await analyst.projection("run", analyst.write(DEPLOYS + "# better\n"))
    assert changed.code == 0
    assert "The code of deploys_v1 has changed" in changed.stderr
    wrong = '    views = {"newest": "SELECT newest FROM {schema}.per_service"}\n'
    refused = await analyst.projection("run", analyst.write(DEPLOYS + wrong))
    assert (refused.code, "view newest: Postgres cannot make it" in refused.stderr) == (1, True), refused.stderr
    assert "has changed" not in (await analyst.projection("run", analyst.write(DEPLOYS + "# better\n"))).stderr


async def test_list_and_status_tell_what_there_is_and_how_far_it_is(analyst: Analyst) -> None:
    assert "No projections yet" in (await analyst.projection("list")).stdout
    last = await analyst.store(2)
    file = analyst.write()
    async with analyst.running("run", file):
        await analyst.counted(6)
        [running] = (await analyst.projection("status", "--json")).json
    assert (running["projection"], running["state"], running["processes"]) == ("deploys_v1", "running", 1)
    assert (running["lag_messages"], running["lag_seconds"], running["rows"]) == (0, 0.0, 6)
    assert running["position"] <= last
    await analyst.store(3)
    [stopped] = (await analyst.projection("status", "deploys_v1", "--json")).json
    assert (stopped["state"], stopped["lag_messages"], stopped["serving"]) == ("stopped", 3, "no")
    assert stopped["lag_seconds"] > 0
    [listed] = (await analyst.projection("list", "--json")).json
    assert (listed["schema"], listed["source"]) == ("deploys_v1", f"{file}:Deploys")
    assert "deploys_v1" in (await analyst.projection("status")).stdout
    unknown = await analyst.projection("status", "other")
    assert (unknown.code, unknown.stderr.strip()) == (
        1,
        "There is no projection other. `wepeople projection list` shows what there is.",
    )


async def test_a_paused_projection_stands_still_until_it_is_resumed(analyst: Analyst) -> None:
    file = analyst.write()
    await analyst.store(1)
    async with analyst.running("run", file):
        await analyst.counted(3)
        assert (await analyst.projection("pause", "deploys")).code == 0
        await eventually(
            lambda: analyst.projection("status", "deploys", "--json"), lambda found: found.json[0]["processes"] == 0
        )
        await analyst.store(1)
        [paused] = (await analyst.projection("status", "deploys", "--json")).json
        assert (paused["state"], paused["lag_messages"], paused["rows"]) == ("paused", 1, 3)
        assert (await analyst.projection("resume", "deploys")).code == 0
        await analyst.counted(6)


async def test_a_poison_row_is_parked_shown_retried_once_the_code_is_mended_or_skipped(analyst: Analyst) -> None:
    await analyst.store(1)
    poison = await store(analyst.connection, envelope(analyst.org_id, [deploy("api"), deploy(None), deploy(None)]))
    await analyst.store(1)
    file = analyst.write()
    async with analyst.running("run", file) as running:
        await analyst.counted(7)
        parked = (await analyst.projection("parked", "list", "deploys", "--json")).json
        assert [(line["sequence"], line["row"], line["status"]) for line in parked] == [
            (poison, 1, "parked"),
            (poison, 2, "parked"),
        ]
        assert "KeyError" in (await analyst.projection("parked", "list", "deploys")).stdout
        shown = (await analyst.projection("parked", "show", "deploys", str(poison), "1", "--json")).json
        assert [row["row"] for row in shown["rows"]] == [1]
        assert "KeyError: 'service'" in shown["rows"][0]["reason"]
        assert shown["content"]["accepted"][1]["raw"]["eventType"] == "deploy.shipped"
        assert shown["content"]["org_id"] == analyst.org_id

        again = await analyst.projection("parked", "retry", "deploys", str(poison), "1")
        assert (again.code, "parked again" in again.stdout) == (1, True)
        skipped = await analyst.projection("parked", "skip", "deploys", str(poison), "2")
        assert (skipped.code, skipped.stdout.strip()) == (0, "1 skipped.")
        ended = await running.interrupt()
        assert "1 row is parked" in ended.stderr

    analyst.write(DEPLOYS.replace('event.metadata["service"]', 'event.metadata.get("service", "?")'))
    retried = await analyst.projection("parked", "retry", "deploys", "--all")
    assert (retried.code, retried.stdout) == (0, "1 applied.\n")
    assert (await analyst.deploys())["?"] == 1
    decided = (await analyst.projection("parked", "list", "deploys", "--all", "--json")).json
    assert [(line["row"], line["status"]) for line in decided] == [(1, "applied"), (2, "skipped")]
    assert "Nothing is parked" in (await analyst.projection("parked", "list", "deploys")).stdout


async def test_what_is_decided_while_a_projection_is_paused_happens_when_it_is_resumed(analyst: Analyst) -> None:
    poison = await store(analyst.connection, envelope(analyst.org_id, [deploy("api"), deploy(None)]))
    async with analyst.running("run", analyst.write()):
        await analyst.counted(1)
        assert (await analyst.projection("pause", "deploys")).code == 0
        decided = await analyst.projection("parked", "skip", "deploys", str(poison))
        assert (decided.code, decided.stdout) == (0, "1 decided: it happens once deploys_v1 is resumed.\n")
        assert (await analyst.projection("resume", "deploys")).code == 0
        await eventually(
            lambda: analyst.rows("SELECT status FROM deploys_v1.parked"), lambda rows: rows == [{"status": "skipped"}]
        )


async def test_what_is_not_parked_cannot_be_decided(analyst: Analyst) -> None:
    last = await analyst.store(1)
    assert (await analyst.projection("run", analyst.write(), "--to", str(last))).code == 0
    for decision in ("retry", "skip"):
        refused = await analyst.projection("parked", decision, "deploys", str(last))
        assert (refused.code, "no such parked row" in refused.stderr) == (1, True)
    unsaid = await analyst.projection("parked", "retry", "deploys")
    assert (unsaid.code, "--all" in unsaid.stderr) == (2, True)


async def test_what_waits_cannot_be_decided_before_what_it_waits_for_which_is_named(analyst: Analyst) -> None:
    rows = [deploy("api"), deploy(None), deploy("api")]
    poison = await store(analyst.connection, envelope(analyst.org_id, rows))
    file = analyst.write(DEPLOYS.replace("version = 1", "version = 1\n    ordered = True"))
    assert (await analyst.projection("run", file, "--to", str(poison))).code == 0
    listed = (await analyst.projection("parked", "list", "deploys", "--json")).json
    assert [(line["row"], line["status"]) for line in listed] == [(1, "parked"), (2, "waiting")]

    for decision in ("retry", "skip"):
        refused = await analyst.projection("parked", decision, "deploys", str(poison), "2")
        assert refused.code == 1
        said = " ".join(refused.stderr.split())
        assert f"Row 2 of message {poison} waits behind row 1 of message {poison}." in said
        assert f"parked retry deploys_v1 {poison} 1" in said

    skipped = await analyst.projection("parked", "skip", "deploys", str(poison), "1")
    assert (skipped.code, skipped.stdout) == (0, "1 skipped.\n")
    assert (await analyst.deploys())["api"] == 2


async def test_a_run_may_stop_at_poison_and_says_where(analyst: Analyst) -> None:
    poison = await store(analyst.connection, envelope(analyst.org_id, [deploy("api"), deploy(None)]))
    stopped = await analyst.projection("run", analyst.write(), "--on-poison", "stop")
    assert stopped.code == 1
    assert f"row 1 of message {poison}" in stopped.stderr
    assert "KeyError: 'service'" in stopped.stderr
    assert sum((await analyst.deploys()).values()) == 0


async def test_a_version_is_dropped_unless_it_runs_or_serves(analyst: Analyst) -> None:
    await analyst.store(1)
    file = analyst.write()
    async with analyst.running("run", file):
        await analyst.counted(3)
        refused = await analyst.projection("drop", "deploys", "1")
        assert (refused.code, "is running" in refused.stderr) == (1, True)
    dropped = await analyst.projection("drop", "deploys", "1")
    assert (dropped.code, dropped.stdout) == (0, "Dropped: deploys_v1. The stream keeps everything.\n")
    assert (await analyst.projection("list", "--json")).json == []


async def test_a_name_that_is_somebody_elses_and_an_address_that_is_missing_are_refused(analyst: Analyst) -> None:
    live = await analyst.projection("run", analyst.write(DEPLOYS.replace('name = "deploys"', 'name = "quota"')))
    assert (live.code, "schema of the database's own" in live.stderr) == (1, True)
    nowhere = await analyst.wepeople("projection", "run", analyst.write(), WEPEOPLE_ANALYST_DSN="")
    assert (nowhere.code, "Set WEPEOPLE_ANALYST_DSN" in nowhere.stderr) == (2, True)
