"""A table that is kept by month: its pieces are made before they are needed, and dropped when they are too old."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from psycopg import AsyncConnection, errors

from tests.support.engines import Ground, ground_of
from tests.support.fresh import Fresh
from tests.support.monthly import ORG, Happened, Monthly, PerDay, at, drop, happened, pieces, retention
from tests.support.read_models import eventually
from tests.support.stored import founded
from wepeople_contracts.subjects import PARTITIONS, partition_of
from wepeople_projections import Event, Operation, on_event
from wepeople_projections.definition.month import month_of
from wepeople_projections.definition.projection import define
from wepeople_projections.postgres.months import make_pieces
from wepeople_projections.running import retention as retention_module

OTHERS = [f"org_{n}" for n in range(60)]
APRIL, MAY = month_of(date(2026, 4, 1)), month_of(date(2026, 5, 1))


@pytest.fixture
async def ground(fresh: Fresh) -> AsyncIterator[Ground]:
    async with ground_of(fresh) as ground:
        yield ground


async def kept(ground: Ground) -> dict[str, date]:
    rows = await ground.rows("SELECT table_name, kept_from FROM monthly_v1.kept")
    return {row["table_name"]: row["kept_from"] for row in rows}


async def parked(ground: Ground) -> list[Any]:
    return await ground.rows("SELECT sequence, row_index, status, reason FROM monthly_v1.parked")


async def test_events_of_all_years_are_written_each_to_its_month(ground: Ground) -> None:
    monthly = await ground.create(Monthly)
    years = ("0001-01-01T00:00:00Z", "2019-12-31T23:59:59.999999Z", "2020-01-01T00:00:00Z", "2024-02-29T12:00:00Z")
    await ground.store(founded(ORG), at(*years), at("2026-05-01T08:59:00+09:00"))
    await ground.store(at("2099-12-31T23:59:59Z", "2100-01-01T00:00:00Z"), at("9999-12-31T23:59:59Z"))
    await ground.build(monthly)

    assert await parked(ground) == []
    months = ["2020-01", "2024-02", "2026-04", "2099-12", "early", "late"]
    assert (await pieces(ground), await pieces(ground, "per_day")) == (months, months)
    rows = await ground.rows(
        "SELECT tableoid::regclass::text AS piece, count(*) FROM monthly_v1.happened GROUP BY 1 ORDER BY 1"
    )
    assert [(row["piece"].rsplit(" ", 1)[1].rstrip('"'), row["count"]) for row in rows] == [
        ("2020-01", 1),
        ("2024-02", 1),
        ("2026-04", 1),
        ("2099-12", 1),
        ("early", 2),
        ("late", 2),
    ]


async def test_whole_months_go_that_are_too_old_and_what_is_kept_for_ever_stays(ground: Ground) -> None:
    monthly = await ground.create(Monthly)
    moments = ("2012-05-05T00:00:00Z", "2025-12-31T23:59:59Z", "2026-03-31T23:59:59Z", "2026-04-01T00:00:00Z")
    await ground.store(founded(ORG), at(*moments), at("2026-06-15T00:00:00Z"))
    await ground.build(monthly)

    assert await drop(ground, monthly) == [3, 0]

    assert await pieces(ground) == ["2026-04", "2026-06"]
    assert await happened(ground) == ["2026-04", "2026-06"], "60 days before June 15 are in April"
    assert len(await ground.rows("SELECT FROM monthly_v1.per_day")) == 5
    assert await kept(ground) == {"happened": date(2026, 4, 1)}
    assert await drop(ground, monthly) == [0], "again"


async def test_nothing_goes_because_the_clock_of_one_process_is_years_ahead(ground: Ground) -> None:
    now = datetime.now(UTC)
    monthly = await ground.create(Monthly)
    await ground.store(founded(ORG), at(now.isoformat(), "2020-02-01T00:00:00Z"))
    await ground.build(monthly)

    assert await drop(ground, monthly, now.date() + timedelta(days=3_650)) == [1, 0]

    assert await happened(ground) == [f"{now:%Y-%m}"]


async def test_an_event_of_a_dropped_month_is_not_written_any_more_and_everything_else_of_it_is(ground: Ground) -> None:
    monthly = await ground.create(Monthly)
    await ground.store(founded(ORG), at("2026-03-05T00:00:00Z"))
    await ground.build(monthly)
    await drop(ground, monthly)

    await ground.store(at("2026-03-06T00:00:00Z", "2026-04-30T00:00:00Z", actor={"externalId": "late"}))
    await ground.build(monthly)

    assert await happened(ground) == ["2026-04"]
    assert await pieces(ground) == ["2026-04"]
    days = await ground.rows("SELECT day FROM monthly_v1.per_day ORDER BY 1")
    assert [row["day"].isoformat() for row in days] == ["2026-03-05", "2026-03-06", "2026-04-30"]
    assert await ground.rows("SELECT FROM monthly_v1.identifiers WHERE value = 'late'")
    assert await parked(ground) == []


async def test_months_that_would_be_dropped_are_not_written_when_the_tables_are_made_late(ground: Ground) -> None:
    monthly = await ground.create(Monthly)
    await ground.store(founded(ORG), at("2024-03-05T00:00:00Z", "2026-05-05T00:00:00Z"))
    await drop(ground, monthly)
    await ground.build(monthly)

    assert (await happened(ground), await pieces(ground)) == (["2026-05"], ["2026-05"])


async def test_an_event_that_its_sender_named_is_there_once_though_it_comes_again_of_another_month(
    ground: Ground,
) -> None:
    monthly = await ground.create(Monthly)
    first, again = (at(f"2026-{month}-05T00:00:00Z", id="mine") for month in ("03", "05"))
    for message in (first, again):
        message.accepted[0] = type(message.accepted[0])(0, "evt_named", message.accepted[0].raw, named=True)
    await ground.store(founded(ORG), first)
    await ground.build(monthly)
    await drop(ground, monthly)
    await ground.store(again)
    await ground.build(monthly)

    assert await happened(ground) == [], "the first one was it, and it is too old"


async def test_writers_that_need_the_same_new_months_at_once_make_them_once(ground: Ground) -> None:
    monthly = await ground.create(Monthly)
    orgs = {partition_of(org): org for org in OTHERS}
    assert len(orgs) == PARTITIONS
    months = [f"2026-{month:02}-01T00:00:00Z" for month in range(1, 13)]
    await ground.store(*map(founded, orgs.values()), *(at(*months, org=org) for org in orgs.values()))
    until = dict.fromkeys(range(PARTITIONS), PARTITIONS * 2)
    async with asyncio.timeout(60):
        await asyncio.gather(
            *(
                ground.engine(monthly, until=until, gives_way=False, partitions=tuple(range(n, PARTITIONS, 2))).run()
                for n in range(2)
            )
        )

    assert len(await happened(ground)) == PARTITIONS * 12
    assert len(await pieces(ground)) == 12
    assert await parked(ground) == []


async def test_writers_that_need_months_of_the_same_tables_do_not_lock_each_other_out(ground: Ground) -> None:
    await ground.create(Monthly)
    waiting = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'monthly_v1.happened'::regclass"
    makers = []

    async def make(tables: tuple[str, ...]) -> None:
        async with ground.pool.connection() as maker:
            await make_pieces(maker, "monthly_v1", {table: {APRIL} for table in tables})

    async with await AsyncConnection.connect(ground.admin_dsn) as first:
        await first.execute("LOCK TABLE monthly_v1.happened IN SHARE UPDATE EXCLUSIVE MODE")
        for tables in (("happened", "per_day"), ("per_day", "happened")):
            makers.append(asyncio.create_task(make(tables)))
            await eventually(
                lambda: ground.rows(waiting), lambda found: len(found) == len(makers), what="each waits for the first"
            )
    async with asyncio.timeout(10):
        await asyncio.gather(*makers)
    assert (await pieces(ground), await pieces(ground, "per_day")) == (["2026-04"], ["2026-04"])


async def test_a_month_is_made_beside_whoever_reads_and_writes_the_others(ground: Ground) -> None:
    monthly = await ground.create(Monthly)
    await ground.store(founded(ORG), at("2026-04-01T00:00:00Z"))
    await ground.build(monthly)
    async with (
        await AsyncConnection.connect(ground.admin_dsn) as reader,
        await AsyncConnection.connect(ground.admin_dsn) as writer,
    ):
        await reader.execute("SELECT count(*) FROM monthly_v1.happened")
        await writer.execute("DELETE FROM monthly_v1.happened WHERE event_id = 'none'")
        async with asyncio.timeout(5), ground.pool.connection() as maker:
            await make_pieces(maker, "monthly_v1", {"happened": {APRIL, MAY}})
    assert await pieces(ground) == ["2026-04", "2026-05"]


async def test_a_month_that_a_reader_holds_stays_until_it_lets_go_and_nobody_waits_for_long(
    ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention_module, "RETRY_SECONDS", 0.1)
    monthly = await ground.create(Monthly)
    await ground.store(founded(ORG), at("2026-03-01T00:00:00Z", "2026-06-01T00:00:00Z"))
    await ground.build(monthly)
    overdue: list[int] = []
    async with await AsyncConnection.connect(ground.admin_dsn) as slow:
        await slow.execute("SELECT count(*) FROM monthly_v1.happened")
        job = asyncio.create_task(retention(ground, monthly, overdue).run())
        try:
            await eventually(
                lambda: ground.rows("SELECT"), lambda _: len(overdue) > 2, within_seconds=10, what="it tried again"
            )
            async with asyncio.timeout(5):
                assert await happened(ground) == ["2026-03", "2026-06"], "others read beside it"
            assert set(overdue) == {1}
            await slow.commit()
            await eventually(
                lambda: pieces(ground), lambda _: overdue[-1] == 0, within_seconds=10, what="the month goes"
            )
            assert await pieces(ground) == ["2026-06"]
        finally:
            job.cancel()


async def test_readers_and_writers_see_no_error_while_months_go(ground: Ground) -> None:
    monthly = await ground.create(Monthly)
    months = [f"{year}-{month:02}-01T00:00:00Z" for year in (2024, 2025) for month in range(1, 13)]
    await ground.store(founded(ORG), at(*months, "2026-06-01T00:00:00Z"))
    await ground.build(monthly)
    newest = "SELECT to_char(at, 'YYYY-MM') FROM monthly_v1.happened WHERE org_id = %s ORDER BY at DESC LIMIT 1"
    done = asyncio.Event()
    seen = 0

    async def read() -> None:
        nonlocal seen
        async with await AsyncConnection.connect(ground.admin_dsn, autocommit=True) as reader:
            while not done.is_set():
                assert await (await reader.execute(newest, [ORG])).fetchall() == [("2026-06",)]
                seen += 1

    readers = [asyncio.create_task(read()) for _ in range(3)]
    async with ground.running(ground.engine(monthly)):
        for number in range(24):
            today = date(2024 + (number + 3) // 12, (number + 3) % 12 + 1, 2)
            last = await ground.store(at("2024-01-01T00:00:00Z", "2026-06-02T00:00:00Z"))
            for _ in range(50):
                if await retention(ground, monthly, [], today).drop():
                    break
            else:
                pytest.fail(f"nothing went by {today}")
        await ground.reached("monthly_v1", last)
    done.set()
    await asyncio.gather(*readers)

    assert seen > 24
    assert await happened(ground) == ["2026-06"] * 25
    assert await parked(ground) == []


class Shy(Monthly):
    """Takes nothing of May and later."""

    @on_event()
    def take(self, event: Event) -> list[Operation]:
        if event.occurred_at.month > 4:
            raise ValueError("not yet")
        return super().take(event)


async def test_rows_that_are_retried_together_are_written_to_months_that_nobody_had_before(ground: Ground) -> None:
    monthly = await ground.create(Monthly)
    moments = [f"2026-0{month}-01T00:00:00Z" for month in range(4, 9)]
    await ground.store(founded(ORG), at(*moments), *(at(moment) for moment in moments))
    await ground.build(define(Shy))
    assert (await pieces(ground), len(await parked(ground))) == (["2026-04"], 8)
    await ground.rows("UPDATE monthly_v1.parked SET status = 'retry' RETURNING 1")
    await ground.build(monthly)

    assert {row["status"] for row in await parked(ground)} == {"applied"}
    assert await happened(ground) == [f"2026-0{month}" for month in range(4, 9) for _ in range(2)]


async def test_what_cannot_be_written_is_parked_whether_its_month_was_dropped_or_not(ground: Ground) -> None:
    monthly = await ground.create(Monthly)
    await ground.store(founded(ORG))
    await drop(ground, monthly)
    unfit = [at(f"2026-0{month}-01T00:00:00Z") for month in (3, 5)]
    for message in unfit:
        message.accepted[0] = type(message.accepted[0])(0, "evt_\0", message.accepted[0].raw)
    await ground.store(*unfit, at("2026-05-02T00:00:00Z"))
    await ground.build(monthly)

    assert [row["sequence"] for row in await parked(ground)] == [2, 3]
    assert await happened(ground) == ["2026-05"]


@pytest.mark.parametrize("who", ["operator", "analyst"])
async def test_nobody_else_reads_a_piece_itself(ground: Ground, fresh: Fresh, who: str) -> None:
    monthly = await ground.create(Monthly)
    await ground.store(founded(ORG), at("2026-04-01T00:00:00Z"))
    await ground.build(monthly)
    async with await AsyncConnection.connect(fresh.dsn(who)) as other:
        with pytest.raises(errors.InsufficientPrivilege):
            await other.execute('SELECT FROM monthly_v1."happened 2026-04"')


def test_the_kit_knows_such_tables() -> None:
    from wepeople_projections.kit import event, given  # noqa: PLC0415

    given(Monthly, event("a", at="2026-03-31T23:59Z"), event("a", at="2026-04-01T00:00Z")).expect(
        PerDay, [{"day": date(2026, 3, 31), "events": 1}, {"day": date(2026, 4, 1), "events": 1}]
    ).expect(Happened, [{}, {}])
