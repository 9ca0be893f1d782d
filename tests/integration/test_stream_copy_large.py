"""A copy larger than what the server sends ahead: it waits for answers, and says at the end that it is the end."""

import os
from pathlib import Path

from tests.support.fresh import Fresh
from tests.support.nats_users import nats_as, nats_unbound
from wepeople_chassis.broker import connect
from wepeople_provision.stream_copy import backup

# The server sends 8 MiB ahead of the answers, of what was made small by s2.
MESSAGES, MESSAGE_BYTES = 20, 1024 * 1024


async def test_who_may_only_copy_copies_more_than_the_server_sends_ahead(fresh: Fresh, tmp_path: Path) -> None:
    connection = await connect(nats_unbound(fresh.nats_url), "tests")
    for number in range(MESSAGES):
        subject = f"ingest.{number % 16}.org_1.app_1.events"
        await connection.jetstream(timeout=20).publish(subject, os.urandom(MESSAGE_BYTES))
    copier = await connect(nats_as("copier", fresh.nats_url), "tests")
    (copied,) = await backup(copier, tmp_path / "copy")
    assert copied.messages == MESSAGES
    assert (tmp_path / "copy/INGEST/stream.tar.s2").stat().st_size > MESSAGES * MESSAGE_BYTES
    await copier.close()
    await connection.close()
