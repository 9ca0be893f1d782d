"""Copies of the stream by a schedule: whole or not there, the newest kept, and damaged ones refused."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from tests.support.fresh import Fresh
from tests.support.nats_users import SEEDS, nats_as
from tests.support.shell import wepeople
from wepeople_chassis.broker import connect
from wepeople_provision.errors import ProvisionError
from wepeople_provision.stream_copy import restore
from wepeople_provision.stream_kept import backup_and_keep

NOON = datetime(2026, 4, 19, 12, tzinfo=UTC)


async def publish(fresh: Fresh, text: str) -> None:
    connection = await connect(nats_as("gateway", fresh.nats_url), "tests")
    await connection.jetstream().publish("ingest.0.org_1.app_1.events", text.encode())
    await connection.close()


async def test_the_newest_are_kept_and_what_else_is_there_is_left_alone(fresh: Fresh, tmp_path: Path) -> None:
    await publish(fresh, "first")
    (tmp_path / "notes").mkdir()
    interrupted = tmp_path / "2026-04-19T11-59-00Z.unfinished"
    interrupted.mkdir()
    copier = await connect(nats_as("copier", fresh.nats_url), "tests")
    for hour in range(4):
        kept = await backup_and_keep(copier, tmp_path, 2, NOON + timedelta(hours=hour))
        assert [extent.messages for extent in kept.extents] == [1]
    await copier.close()
    assert kept.removed == ["2026-04-19T13-00-00Z"]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        *("2026-04-19T14-00-00Z", "2026-04-19T15-00-00Z", "notes")
    ]


async def test_the_command_says_what_it_took_and_its_copy_is_brought_back(fresh: Fresh, tmp_path: Path) -> None:
    await publish(fresh, "first")
    who = {"WEPEOPLE_NATS_SEED": SEEDS["copier"]}
    taken = await wepeople(fresh.nats_url, "", "stream", "backup", str(tmp_path), "--keep", "1", **who)
    assert taken.code == 0, taken.stderr
    [copy] = tmp_path.iterdir()
    assert f"copied to {copy}:" in taken.stdout
    assert "INGEST: 1 messages" in taken.stdout
    await publish(fresh, "second")
    provisioner = await connect(nats_as("provision", fresh.nats_url), "tests")
    with pytest.raises(ProvisionError, match="goes on to 2, the copy ends at 1"):
        await restore(provisioner, copy, replace=True)
    await provisioner.jetstream().delete_stream("INGEST")
    assert [extent.messages for extent in await restore(provisioner, copy, replace=False)] == [1]
    await provisioner.close()


async def test_a_damaged_copy_is_refused_before_anything_is_changed(fresh: Fresh, tmp_path: Path) -> None:
    await publish(fresh, "first")
    provisioner = await connect(nats_as("provision", fresh.nats_url), "tests")
    kept = await backup_and_keep(provisioner, tmp_path, 1, NOON)
    content = kept.directory / "INGEST" / "stream.tar.s2"
    content.write_bytes(content.read_bytes()[:-1] + b"x")
    with pytest.raises(ProvisionError, match="is damaged"):
        await restore(provisioner, kept.directory, replace=True)
    assert (await provisioner.jetstream().stream_info("INGEST")).state.messages == 1
    await provisioner.close()


async def test_where_no_copy_can_be_taken_the_older_ones_stay(fresh: Fresh, tmp_path: Path) -> None:
    await publish(fresh, "first")
    copier = await connect(nats_as("copier", fresh.nats_url), "tests")
    await backup_and_keep(copier, tmp_path, 1, NOON)
    provisioner = await connect(nats_as("provision", fresh.nats_url), "tests")
    await provisioner.jetstream().delete_stream("INGEST")
    with pytest.raises(ProvisionError, match="no stream to copy"):
        await backup_and_keep(copier, tmp_path, 1, NOON + timedelta(hours=1))
    assert [path.name for path in tmp_path.iterdir()] == ["2026-04-19T12-00-00Z"]
    await copier.close()
    await provisioner.close()
