"""A stream is split while messages come in: the new one has all that moves, under its sequences, and forgets no id."""

import asyncio
import json
from typing import Any

import pytest
from nats.aio.client import Client

from tests.support.lone_stream import Server, eventually
from tests.support.splitting import Killed, load, split_stream, subject_in, texts, wrongs
from wepeople_chassis.broker import NatsAddress, connect
from wepeople_chassis.stream import state_of, stream_of, stream_states
from wepeople_gateway.ingest.publish import Publisher, Stored
from wepeople_provision import stream_cut
from wepeople_provision.errors import ProvisionError
from wepeople_provision.stream import plan_streams, provision_streams
from wepeople_provision.stream_api import ask, streams_there
from wepeople_provision.stream_plan import Wishes
from wepeople_provision.stream_split import carry_out, splits_due, unfinished

LOWER, UPPER = frozenset(range(8)), frozenset(range(8, 16))


async def publish(connection: Client, partition: int, message_id: str) -> dict[str, Any]:
    reply = await connection.request(
        subject_in(partition), message_id.encode(), timeout=5, headers={"Nats-Msg-Id": message_id}
    )
    answer: dict[str, Any] = json.loads(reply.data)
    return answer


@pytest.fixture
async def streams(connection: Client) -> Client:
    """One stream, with a hole at its beginning."""
    await eventually(lambda: provision_streams(connection))
    for number in range(40):
        await publish(connection, number % 16, f"first-{number}")
    await ask(connection, "STREAM.PURGE", "INGEST", {"seq": 4})
    return connection


async def takers(connection: Client) -> dict[int, str]:
    return {partition: state.name for state in await stream_states(connection) for partition in state.partitions}


async def test_no_publish_fails_none_is_lost_and_none_is_doubled(streams: Client, server: Server) -> None:
    async with load(server.url) as running:
        await running.more()
        done = await split_stream(streams, "INGEST")
        await running.more()
        again = await split_stream(streams, "INGEST_8")
        await running.more()
    assert await takers(streams) == {p: "INGEST" if p < 8 else "INGEST_8" if p < 12 else "INGEST_12" for p in range(16)}
    before = {f"first-{number}": number + 1 for number in range(3, 40)}
    held = {
        name: sequence
        for p, s in (await takers(streams)).items()
        for sequence, name in (await texts(streams, s, p)).items()
    }
    assert {name: held.get(name) for name in before} == before
    wrong = await wrongs(streams, running.answers, await takers(streams))
    assert [line for line in wrong if not line.startswith("first-")] == []
    assert done.cut_seconds + again.cut_seconds < 2 * stream_cut.CUT_SECONDS
    assert running.longest_seconds < 2


async def test_a_message_id_of_before_is_known_to_whoever_publishes_also_after_a_restart(
    streams: Client, server: Server
) -> None:
    await split_stream(streams, "INGEST")
    new = await Publisher(streams, 5).publish(subject_in(9), "new", b"new")
    server.kill()
    server.start()
    another = await connect(NatsAddress(server.url), "after the restart", pending_size=0)
    await eventually(lambda: another.jetstream().stream_info("INGEST_8"))
    publisher = Publisher(another, 5)
    assert await publisher.publish(subject_in(9), "first-25", b"") == Stored("INGEST", 26, duplicate=True)
    assert await publisher.publish(subject_in(9), "new", b"") == Stored("INGEST_8", new.sequence, duplicate=True)
    assert (await publisher.publish(subject_in(9), "newer", b"")).duplicate is False
    assert (await publisher.read("INGEST", 26)) == (await publisher.read("INGEST_8", 26)) == b"first-25"
    await another.close()


async def test_an_id_of_before_two_splits_is_known_too(streams: Client) -> None:
    await split_stream(streams, "INGEST")
    publisher = Publisher(streams, 5)
    between = await publisher.publish(subject_in(13), "between", b"")
    await split_stream(streams, "INGEST_8")
    assert (await takers(streams))[13] == "INGEST_12"
    assert await publisher.publish(subject_in(13), "first-29", b"") == Stored("INGEST", 30, duplicate=True)
    assert await publisher.publish(subject_in(13), "between", b"") == Stored(
        "INGEST_8", between.sequence, duplicate=True
    )


async def test_a_publisher_that_has_not_heard_of_the_split_stores_nothing_twice(streams: Client) -> None:
    """It says which stream it means; the new one refuses, and it asks."""
    publisher = Publisher(streams, 5)
    first = await publisher.publish(subject_in(9), "once", b"")
    await split_stream(streams, "INGEST")
    assert await publisher.publish(subject_in(9), "once", b"") == Stored("INGEST", first.sequence, duplicate=True)


async def test_the_new_stream_goes_on_behind_every_sequence_that_an_idle_reader_of_the_old_may_have(
    streams: Client,
) -> None:
    for number in range(20):
        await publish(streams, 0, f"of the lower half {number}")
    ended = (await state_of(streams, "INGEST")).last_sequence
    await split_stream(streams, "INGEST")
    assert (await publish(streams, 9, "next"))["seq"] > ended


async def test_what_was_never_in_it_is_not_missing_from_the_new_stream(streams: Client) -> None:
    await split_stream(streams, "INGEST")
    old, new = await stream_states(streams)
    assert (old.name, old.partitions, new.name, new.partitions) == ("INGEST", LOWER, "INGEST_8", UPPER)
    assert old.identity == new.identity
    assert old.first_sequence == new.first_sequence == 4
    assert (await ask(streams, "STREAM.INFO", "INGEST_8"))["state"]["first_seq"] == 9
    await ask(streams, "STREAM.PURGE", "INGEST_8", {"seq": 12})
    assert (await state_of(streams, "INGEST_8")).first_sequence == 12


async def test_a_split_of_what_no_message_has_come_to_is_a_split(connection: Client) -> None:
    await eventually(lambda: provision_streams(connection))
    await split_stream(connection, "INGEST")
    assert (await publish(connection, 9, "the first"))["stream"] == "INGEST_8"
    assert (await publish(connection, 1, "the second"))["stream"] == "INGEST"


STEPS = ("_mark", "_arrived", "_require_all", "_promote")


@pytest.mark.parametrize("step", STEPS)
async def test_killed_at_any_step_it_is_finished_by_the_next(
    streams: Client, server: Server, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    async def killed(*_: Any) -> None:
        raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(stream_cut, step, killed)
        with pytest.raises(Killed):
            await split_stream(streams, "INGEST")
    stopped = await publish(streams, 1, "goes on")
    assert stopped["stream"] == "INGEST"
    with pytest.raises(TimeoutError):
        await stream_of(streams, 9)
    (left,) = await splits_due(streams, None, None)
    assert (left.old, left.new, left.staying, left.moving) == ("INGEST", "INGEST_8", LOWER, UPPER)
    publisher = Publisher(streams, 5)
    waiting = asyncio.create_task(publisher.publish(subject_in(9), "waits", b"waits"))
    await carry_out(streams, left)
    assert (await waiting).stream == "INGEST_8"
    assert unfinished(await streams_there(streams)) == []
    assert await plan_streams(streams) == []


async def test_a_mirror_that_does_not_come_to_the_marker_leaves_everything_as_it_was(
    streams: Client, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def never(*_: Any) -> None:
        await asyncio.sleep(60)

    monkeypatch.setattr(stream_cut, "CUT_SECONDS", 0.2)
    with monkeypatch.context() as patched:
        patched.setattr(stream_cut, "_arrived", never)
        async with load(server.url) as running:
            with pytest.raises(ProvisionError, match="takes all as before"):
                await split_stream(streams, "INGEST")
            await running.more()
    assert set((await takers(streams)).values()) == {"INGEST"}
    await carry_out(streams, (await splits_due(streams, None, None))[0])
    assert (await takers(streams))[9] == "INGEST_8"


async def test_a_mirror_with_less_than_the_stream_is_never_promoted(
    streams: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def lacks(_: Client, stream: str, __: Any) -> int:
        return 20 if stream == "INGEST" else 19

    monkeypatch.setattr(stream_cut, "count_of", lacks)
    with pytest.raises(ProvisionError, match="19 messages of 20"):
        await split_stream(streams, "INGEST")
    assert set((await takers(streams)).values()) == {"INGEST"}


async def test_several_streams_from_the_beginning_and_never_another_number_by_the_provisioner(
    connection: Client,
) -> None:
    await eventually(lambda: provision_streams(connection, Wishes(streams=4)))
    names = [state.name for state in await stream_states(connection)]
    assert names == ["INGEST", "INGEST_4", "INGEST_8", "INGEST_12"]
    assert await plan_streams(connection, Wishes(streams=4)) == await plan_streams(connection) == []
    with pytest.raises(ProvisionError, match="stream split --into 8"):
        await provision_streams(connection, Wishes(streams=8))
    with pytest.raises(ProvisionError, match="never joined"):
        await provision_streams(connection, Wishes(streams=1))


async def test_settings_are_kept_right_on_every_stream_and_its_subjects_and_identity_stay(streams: Client) -> None:
    await split_stream(streams, "INGEST")
    before = await stream_states(streams)
    planned = [str(change) for change in await plan_streams(streams, Wishes(max_bytes=50_000_000))]
    assert planned == [f"stream {name}: set max_bytes -1 -> 50000000" for name in ("INGEST", "INGEST_8")]
    await provision_streams(streams, Wishes(max_bytes=50_000_000))
    after = await stream_states(streams)
    assert [state.limit_bytes for state in after] == [50_000_000] * 2
    assert [(s.partitions, s.identity, s.first_sequence, s.last_sequence) for s in after] == [
        (s.partitions, s.identity, s.first_sequence, s.last_sequence) for s in before
    ]
