"""Old months of the live timeline, by real processes: `WEPEOPLE_KEEP_EVENTS_DAYS`, and `wepeople projection months`."""

import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import typer

from tests.support.fresh import Fresh
from tests.support.projecting import Projecting, projector_process, running_projector
from tests.support.read_models import eventually
from tests.support.shell import Result
from tests.support.shell import wepeople as run_wepeople
from tests.support.stored import envelope, founded, raw
from wepeople_contracts.envelope import Envelope
from wepeople_projections.commands.months import show_months

ORG = "org_a"
NOW = datetime.now(UTC)
KEEP_DAYS = 40


def ago(days: int) -> str:
    return (NOW - timedelta(days=days)).isoformat()


def month(days: int) -> str:
    return ago(days)[:7]


def events(*days: int) -> Envelope:
    """Events of that many days ago."""
    return envelope(
        ORG,
        [
            raw({"eventType": "x", "category": "code", "actor": {"externalId": "w"}, "timestamp": ago(day)})
            for day in days
        ],
    )


@pytest.fixture
async def projecting(fresh: Fresh, tmp_path: Path) -> AsyncIterator[Projecting]:
    """A projector that keeps everything, with events of now, of 100 days ago, and of 400."""
    async with running_projector(fresh.nats_url, fresh.dsn("projector"), fresh.admin_dsn, tmp_path) as running:
        await running.stored_and_applied(founded(ORG), events(0, 100, 400))
        yield running


async def months(fresh: Fresh, *arguments: str) -> Result:
    dsn = {"WEPEOPLE_PROJECTOR_DSN": fresh.dsn("projector")}
    return await run_wepeople(fresh.nats_url, fresh.dsn("operator"), "projection", "months", "live", *arguments, **dsn)


async def timeline(projecting: Projecting) -> list[str]:
    rows = await projecting.rows("SELECT to_char(occurred_at AT TIME ZONE 'UTC', 'YYYY-MM') AS m FROM live.timeline")
    return sorted(row["m"] for row in rows)


async def test_a_projector_that_is_told_how_long_drops_what_is_older_at_its_start_and_goes_on(
    projecting: Projecting, fresh: Fresh, tmp_path: Path
) -> None:
    assert await timeline(projecting) == [month(400), month(100), month(0)]
    await projecting.process.kill()
    keep = {"WEPEOPLE_KEEP_EVENTS_DAYS": str(KEEP_DAYS)}
    told = projector_process(fresh.nats_url, fresh.dsn("projector"), tmp_path, "told", **keep)
    told.start()
    try:
        await told.wait_ready(projecting.connection)
        await eventually(
            lambda: timeline(projecting), lambda found: found == [month(0)], within_seconds=20, what="old months gone"
        )
        await projecting.stored_and_applied(events(1, 200))
        assert await timeline(projecting) == sorted([month(0), month(1)])
    finally:
        await told.kill()
    said = [line for line in told.child.log_tail(200) if "month_dropped" in line]
    assert len(said) == 2, "each is in the log"

    [last, *_] = await projecting.rows("SELECT request_id FROM live_v1.requests ORDER BY sequence DESC")
    traced = await run_wepeople(fresh.nats_url, fresh.dsn("operator"), "request", last["request_id"], "--json")
    notes = [row["note"] for row in json.loads(traced.stdout)["results"]]
    assert notes[0] is None
    assert "from when on the timeline is kept" in notes[1]


async def test_months_are_listed_planned_and_dropped_by_hand_and_it_is_said_from_when_on_there_is_something(
    projecting: Projecting, fresh: Fresh
) -> None:
    listed = json.loads((await months(fresh, "--json")).stdout)
    assert [(line["table"], line["month"], line["state"]) for line in listed] == [
        ("timeline", month(days), "kept") for days in (400, 100, 0)
    ]
    planned = json.loads((await months(fresh, "--keep-days", str(KEEP_DAYS), "--plan", "--json")).stdout)
    assert [line["state"] for line in planned] == ["would go", "would go", "kept"]
    assert len(await timeline(projecting)) == 3, "a plan changes nothing"

    dropped = await months(fresh, "--drop-before", ago(100)[:10])
    assert dropped.code == 0, dropped.stderr
    assert f"timeline has nothing before {month(100)}-01." in dropped.stdout
    assert await timeline(projecting) == [month(100), month(0)]
    kept = await projecting.rows("SELECT table_name, kept_from::text FROM live.kept")
    assert kept == [{"table_name": "timeline", "kept_from": f"{month(100)}-01"}]


@pytest.mark.parametrize(
    ("said", "keep_days", "drop_before", "plan"),
    [
        ("--keep-days or --drop-before", None, None, True),
        ("either", 3, "2026-01-01", False),
        ("no day", None, "soon", False),
        ("one piece", None, "2019-01-01", False),
        ("has not come yet", None, f"{NOW.year + 1}-01-01", False),
    ],
)
def test_what_cannot_be_meant_is_refused_in_words(
    capsys: pytest.CaptureFixture[str], said: str, keep_days: int | None, drop_before: str | None, plan: bool
) -> None:
    with pytest.raises(typer.Exit) as refused:
        show_months("live", None, keep_days=keep_days, drop_before=drop_before, plan=plan, as_json=False)
    assert refused.value.exit_code == 2
    assert said in " ".join(capsys.readouterr().err.split())
