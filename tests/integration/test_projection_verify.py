"""`wepeople projection verify`: what is and what is not what the stream makes of it, and what a proof leaves behind."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.analyst import DEPLOYS, Analyst, analyst_of, built, deploy
from tests.support.fresh import Fresh
from tests.support.read_models import eventually
from tests.support.stored import envelope, store

SECOND = DEPLOYS.replace("version = 1", "version = 2")


@pytest.fixture
async def analyst(fresh: Fresh, tmp_path: Path) -> AsyncIterator[Analyst]:
    """With two requests of three deploys each."""
    async with analyst_of(fresh, tmp_path) as ready:
        await ready.store(2)
        yield ready


async def test_a_version_that_is_what_the_stream_makes_of_it_passes(analyst: Analyst) -> None:
    await built(analyst, [analyst.write()])
    passed = await analyst.projection("verify", "deploys", "--json")
    assert passed.code == 0
    assert '"equal": true' in passed.stdout
    assert await analyst.rows("SELECT nspname FROM pg_namespace WHERE nspname LIKE '%%check'") == []
    [status] = (await analyst.projection("status", "deploys", "--json")).json
    assert status["verified_at"]


async def test_a_value_that_is_not_what_the_stream_makes_of_it_is_named(analyst: Analyst) -> None:
    await built(analyst, [analyst.write()])
    assert (await analyst.projection("verify", "deploys")).code == 0
    await analyst.rows("UPDATE deploys_v1.per_service SET deploys = 7 WHERE service = 'web' RETURNING 1")
    failed = await analyst.projection("verify", "deploys")
    assert failed.code == 1
    for named in ("per_service", analyst.org_id, "web", "7"):
        assert named in failed.stderr
    assert await analyst.rows("SELECT nspname FROM pg_namespace WHERE nspname LIKE '%%check'") == []
    refused = await analyst.projection("promote", "deploys")
    assert (refused.code, "has not been verified" in refused.stderr) == (1, True)


async def test_what_was_changed_by_hand_since_it_was_proved_is_not_promoted(analyst: Analyst) -> None:
    file = analyst.write()
    async with analyst.running("run", file):
        await analyst.counted(6)
    assert (await analyst.projection("verify", "deploys")).code == 0
    await analyst.rows("UPDATE deploys_v1.per_service SET deploys = 7 WHERE service = 'web' RETURNING 1")
    refused = await analyst.projection("promote", "deploys")
    assert (refused.code, "per_service of deploys_v1 has other rows" in refused.stderr) == (1, True), refused.stderr
    await analyst.rows("UPDATE deploys_v1.per_service SET deploys = 2 WHERE service = 'web' RETURNING 1")
    await analyst.store(1)
    async with analyst.running("run", file):
        await analyst.counted(9)
    promoted = await analyst.projection("promote", "deploys")
    assert promoted.code == 0, promoted.stderr


async def test_rows_that_were_parked_or_skipped_are_so_in_the_proof_as_well(analyst: Analyst) -> None:
    await store(analyst.connection, envelope(analyst.org_id, [deploy(None), deploy("api"), deploy(None)]))
    poison = await store(analyst.connection, envelope(analyst.org_id, [deploy("api"), deploy(None)]))
    file = analyst.write()
    async with analyst.running("run", file):
        await analyst.counted(8)
        assert (await analyst.projection("parked", "skip", "deploys", str(poison))).code == 0
        assert (await analyst.projection("verify", "deploys")).code == 0
    await analyst.rows("UPDATE deploys_v1.parked SET status = 'applied' WHERE status = 'parked' RETURNING 1")
    failed = await analyst.projection("verify", "deploys")
    assert (failed.code, "is not parked" in failed.stderr) == (1, True)


async def test_a_proof_that_was_interrupted_or_killed_leaves_nothing_that_stays(analyst: Analyst) -> None:
    for _ in range(4):
        await analyst.store_much(2_000)
    await built(analyst, [analyst.write()])
    check = "SELECT to_regclass('deploys_v1_check.checkpoint') AS it"
    async with analyst.running("verify", "deploys") as running:
        await eventually(lambda: analyst.rows(check), lambda found: found[0]["it"] is not None)
        interrupted = await running.interrupt()
    assert interrupted.code == 130
    assert "begins anew" in interrupted.stderr
    assert await analyst.rows(check) == [{"it": None}]
    async with analyst.running("verify", "deploys") as running:
        await eventually(lambda: analyst.rows(check), lambda found: found[0]["it"] is not None)
        running.freeze()
        second = await analyst.projection("verify", "deploys")
        assert (second.code, "Somebody else is verifying" in second.stderr) == (1, True)
        await running.kill()
    assert (await analyst.projection("verify", "deploys")).code == 0
    assert await analyst.rows(check) == [{"it": None}]


async def test_code_that_is_not_where_it_was_is_asked_for(analyst: Analyst) -> None:
    file = analyst.write()
    await built(analyst, [file])
    moved = Path(file).rename(analyst.folder / "moved.py")
    lost = await analyst.projection("verify", "deploys")
    assert (lost.code, "Say by --file where it is" in lost.stderr) == (1, True)
    assert (await analyst.projection("verify", "deploys", "--file", str(moved))).code == 0
    analyst.write(SECOND)
    other = await analyst.projection("verify", "deploys")
    assert (other.code, "is deploys_v2 now, not deploys_v1" in other.stderr) == (1, True)
    assert (await analyst.projection("promote", "deploys")).code == 0


async def test_a_proof_counts_for_a_promotion_until_something_has_changed_or_a_day_is_over(analyst: Analyst) -> None:
    await built(analyst, [analyst.write()])
    for change, why in (
        ("UPDATE deploys_v1.verified SET verified_at = now() - interval '25 hours' RETURNING 1", "24 hours ago"),
        (
            "WITH m AS (INSERT INTO deploys_v1.parked_messages VALUES (1, '', '', now(), '', 0) RETURNING 1) "
            "INSERT INTO deploys_v1.parked VALUES (1, 0, '', '', 'applied', '', 1, now(), now(), 0) RETURNING 1",
            "since parked rows were retried",
        ),
    ):
        assert (await analyst.projection("verify", "deploys")).code == 0
        await analyst.rows(change)
        refused = await analyst.projection("promote", "deploys")
        assert (refused.code, why in refused.stderr) == (1, True), refused.stderr
        assert "wepeople projection verify deploys 1" in refused.stderr
    assert (await analyst.projection("verify", "deploys")).code == 0
    assert (await analyst.projection("promote", "deploys")).code == 0
