"""A copy of the stream: taken beside traffic, brought back whole, never over something that has more."""

import asyncio
import json
from pathlib import Path

import pytest
from nats.aio.client import Client
from psycopg import AsyncConnection

from tests.support.fresh import Fresh
from tests.support.nats_users import nats_as
from wepeople_chassis.broker import NatsAddress, connect
from wepeople_chassis.stream import state_of
from wepeople_chassis.tasks import end
from wepeople_contracts.subjects import STREAMS
from wepeople_provision.errors import ProvisionError
from wepeople_provision.stream import provision_streams
from wepeople_provision.stream_adopt import adopt
from wepeople_provision.stream_copy import backup, restore

SUBJECT = "ingest.{partition}.org_1.app_1.events"


async def publish(connection: Client, first: int, count: int) -> None:
    js = connection.jetstream(timeout=20)
    for n in range(first, first + count):
        await js.publish(SUBJECT.format(partition=n % 16), f"{n}".encode() * 900, headers={"Nats-Msg-Id": f"m{n}"})


async def everything(connection: Client) -> list[object]:
    js = connection.jetstream()
    info = await js.stream_info("INGEST")
    numbers = range(info.state.first_seq, info.state.last_seq + 1)
    found = [await js.get_msg("INGEST", number) for number in numbers]
    return [(m.seq, m.subject, m.data, m.headers) for m in found]


async def delete(connection: Client) -> None:
    await connection.jetstream().delete_stream("INGEST")


async def test_what_is_brought_back_is_what_was_there_with_ids_and_sequences(fresh: Fresh, tmp_path: Path) -> None:
    connection = await connect(NatsAddress(fresh.nats_url), "tests")
    provisioner = await connect(nats_as("provision", fresh.nats_url), "tests")
    await publish(connection, 1, 200)
    before = await everything(connection)
    copied = await backup(provisioner, tmp_path / "copy")
    assert [(one.name, one.messages, one.last_sequence) for one in copied] == [("INGEST", 200, 200)]
    await delete(connection)
    assert await restore(provisioner, tmp_path / "copy", replace=False) == copied
    assert await everything(connection) == before
    assert any("as it should be" in line for line in await provision_streams(provisioner))
    await publish(connection, 201, 1)
    assert (await state_of(connection, STREAMS[0])).last_sequence == 201
    await provisioner.close()
    await connection.close()


async def test_a_copy_beside_traffic_has_all_that_was_acknowledged_before_it_began(
    fresh: Fresh, tmp_path: Path
) -> None:
    connection = await connect(NatsAddress(fresh.nats_url), "tests")
    await publish(connection, 1, 50)
    traffic = asyncio.create_task(publish(connection, 51, 5000))
    (copied,) = await backup(connection, tmp_path / "copy")
    await end([traffic])
    assert 50 <= copied.last_sequence < (await state_of(connection, STREAMS[0])).last_sequence
    expected = (await everything(connection))[: copied.last_sequence]
    await delete(connection)
    await restore(connection, tmp_path / "copy", replace=False)
    assert await everything(connection) == expected
    await connection.close()


async def test_an_empty_stream_makes_way_one_with_messages_only_by_replace_and_one_that_has_more_never(
    fresh: Fresh, tmp_path: Path
) -> None:
    connection = await connect(NatsAddress(fresh.nats_url), "tests")
    await publish(connection, 1, 20)
    await backup(connection, tmp_path / "copy")
    await delete(connection)
    await provision_streams(connection)
    await restore(connection, tmp_path / "copy", replace=False)
    with pytest.raises(ProvisionError, match="--replace"):
        await restore(connection, tmp_path / "copy", replace=False)
    assert [one.messages for one in await restore(connection, tmp_path / "copy", replace=True)] == [20]
    await publish(connection, 21, 1)
    with pytest.raises(ProvisionError, match="goes on to 21, the copy ends at 20"):
        await restore(connection, tmp_path / "copy", replace=True)
    assert (await state_of(connection, STREAMS[0])).last_sequence == 21
    await connection.close()


@pytest.mark.parametrize("count", [5, 20])
async def test_a_stream_that_was_made_anew_after_the_copy_never_makes_way(
    fresh: Fresh, tmp_path: Path, count: int
) -> None:
    connection = await connect(NatsAddress(fresh.nats_url), "tests")
    await publish(connection, 1, 20)
    await backup(connection, tmp_path / "copy")
    await delete(connection)
    await provision_streams(connection)
    await publish(connection, 21, count)
    before = await everything(connection)
    with pytest.raises(ProvisionError, match="not a beginning of the copy"):
        await restore(connection, tmp_path / "copy", replace=True)
    assert await everything(connection) == before
    await connection.close()


async def test_a_stream_that_has_lost_its_end_makes_way_for_the_copy_that_has_it(fresh: Fresh, tmp_path: Path) -> None:
    connection = await connect(NatsAddress(fresh.nats_url), "tests")
    await publish(connection, 1, 10)
    await backup(connection, tmp_path / "older")
    await publish(connection, 11, 10)
    await backup(connection, tmp_path / "newer")
    await delete(connection)
    await restore(connection, tmp_path / "older", replace=False)
    assert [one.messages for one in await restore(connection, tmp_path / "newer", replace=True)] == [20]
    await connection.close()


async def test_a_directory_that_is_not_empty_gets_no_copy_and_one_without_a_copy_gives_none(
    fresh: Fresh, tmp_path: Path
) -> None:
    connection = await connect(NatsAddress(fresh.nats_url), "tests")
    with pytest.raises(ProvisionError, match="no copy"):
        await restore(connection, tmp_path, replace=True)
    (tmp_path / "something").touch()
    with pytest.raises(ProvisionError, match="empty directory"):
        await backup(connection, tmp_path)
    assert (await state_of(connection, STREAMS[0])).messages == 0
    await connection.close()


COUNTED = """
INSERT INTO quota.partitions (partition, epoch, identity, sequence, message_id, stored_at_ns)
VALUES (9, 1, 'old', 9, 'm9', 0), (3, 1, 'old', 5, '', {counted_at_ns});
INSERT INTO quota.org_usage (partition, org_id, period, connection, units)
VALUES (9, 'org_1', '2026-04', 'custom:ci', 7);
"""
SCHEMAS = "; ".join(f"CREATE SCHEMA {name}" for name in ("fits_v2", "other_v1", "ahead_v1", "idle_v1", "late_v1"))
TELL_AS_WHOM = """
CREATE TABLE fits_v2.ran_as (role name);
CREATE FUNCTION fits_v2.tell() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    INSERT INTO fits_v2.ran_as VALUES (current_user);
    RETURN NEW;
END $$;
CREATE TRIGGER tell BEFORE UPDATE ON fits_v2.checkpoint FOR EACH ROW EXECUTE FUNCTION fits_v2.tell()
"""
TABLE = (
    "CREATE TABLE {schema}.checkpoint (partition int, stream_identity text, sequence bigint, message_sequence bigint, "
    "message_id text); "
    "INSERT INTO {schema}.checkpoint VALUES ({partition}, 'old', {sequence}, {message_sequence}, '{message_id}')"
)


async def test_readers_go_on_in_a_stream_that_holds_what_they_applied_and_nowhere_else(fresh: Fresh) -> None:
    connection = await connect(nats_as("provision", fresh.nats_url), "tests")
    await publish(await connect(NatsAddress(fresh.nats_url), "tests"), 1, 10)
    created = (await state_of(connection, STREAMS[0])).identity
    fifth = await connection.jetstream().get_msg(STREAMS[0], 5)
    assert fifth.time is not None
    counted = COUNTED.format(counted_at_ns=int(fifth.time.timestamp() * 1_000_000 + 1) * 1000).encode()
    async with (
        await AsyncConnection.connect(fresh.admin_dsn, autocommit=True) as admin,
        await AsyncConnection.connect(fresh.dsn("analyst"), autocommit=True) as analyst,
    ):
        await admin.execute(counted)
        await analyst.execute(SCHEMAS)
        for schema, partition, sequence, message_sequence, message_id in (
            ("fits_v2", 8, 10, 8, "m8"),
            ("other_v1", 8, 10, 8, "m7"),
            ("ahead_v1", 8, 11, 8, "m8"),
            ("idle_v1", 9, 3, 0, ""),
            ("late_v1", 9, 10, 8, "m8"),
        ):
            text = TABLE.format(
                schema=schema,
                partition=partition,
                sequence=sequence,
                message_sequence=message_sequence,
                message_id=message_id,
            )
            await analyst.execute(text.encode())

        await admin.execute("CREATE SCHEMA somebodys_v1")
        text = TABLE.format(schema="somebodys_v1", partition=0, sequence=3, message_sequence=0, message_id="")
        await admin.execute(text.encode())
        await analyst.execute(TELL_AS_WHOM)
        done = await adopt(connection, fresh.admin_dsn, fresh.passwords)
        assert await (await admin.execute("SELECT DISTINCT role FROM fits_v2.ran_as")).fetchall() == [
            ("wepeople_analyst",)
        ]
        assert done == [
            "quota: counts on",
            "ahead_v1: holds what is not in the streams; build it anew: wepeople projection rebuild ahead",
            "fits_v2: goes on",
            "idle_v1: goes on",
            "late_v1: holds what is not in the streams; build it anew: wepeople projection rebuild late",
            "other_v1: holds what is not in the streams; build it anew: wepeople projection rebuild other",
            f"somebodys_v1: is {admin.info.user}'s, whose password is not among the roles'; it is left as it is",
        ]
        for schema, identity in (("fits_v2", created), ("other_v1", "old"), ("ahead_v1", "old"), ("idle_v1", created)):
            found = await admin.execute(f"SELECT stream_identity FROM {schema}.checkpoint")
            assert await found.fetchone() == (identity,)
        found = await admin.execute(
            "SELECT DISTINCT identity, (SELECT sum(units)::int FROM quota.org_usage) FROM quota.partitions"
        )
        assert await found.fetchall() == [(created, 7)]

        for harm in (b"message_id = 'another' WHERE partition = 9", b"stored_at_ns = 1 WHERE partition = 3"):
            await admin.execute(b"UPDATE quota.partitions SET " + harm)
            assert (await adopt(connection, fresh.admin_dsn, fresh.passwords))[0].startswith(
                "quota: the streams are not those"
            )
            found = await admin.execute(
                "SELECT (SELECT count(*) FROM quota.partitions) + (SELECT count(*) FROM quota.org_usage)"
            )
            assert await found.fetchone() == (0,)
            await admin.execute(counted)
    await connection.close()


async def test_a_copy_is_in_the_form_of_nats_own_command_line(fresh: Fresh, tmp_path: Path) -> None:
    connection = await connect(NatsAddress(fresh.nats_url), "tests")
    await publish(connection, 1, 3)
    await backup(connection, tmp_path / "copy")
    assert [file.name for file in (tmp_path / "copy").iterdir()] == ["INGEST"]
    assert sorted(file.name for file in (tmp_path / "copy/INGEST").iterdir()) == [
        *("backup.json", "stream.tar.s2", "stream.tar.s2.sha256")
    ]
    described = json.loads((tmp_path / "copy/INGEST/backup.json").read_text())
    assert (described["config"]["name"], described["state"]["messages"]) == ("INGEST", 3)
    await connection.close()


async def test_a_copy_of_a_release_that_had_one_stream_is_brought_back_too(fresh: Fresh, tmp_path: Path) -> None:
    connection = await connect(NatsAddress(fresh.nats_url), "tests")
    await publish(connection, 1, 3)
    copied = await backup(connection, tmp_path / "copy")
    (tmp_path / "copy/INGEST").rename(tmp_path / "old")
    await delete(connection)
    assert await restore(connection, tmp_path / "old", replace=False) == copied
    await connection.close()
