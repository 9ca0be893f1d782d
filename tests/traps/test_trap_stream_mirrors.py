"""What mirrors of nats-server do, on which splitting a stream rests (docs/adr/0008), and what they do not."""

import asyncio
import json
from typing import Any

import pytest
from nats.aio.client import Client
from nats.errors import NoRespondersError

from tests.support.lone_stream import Server, eventually
from wepeople_chassis.broker import NatsAddress, connect

SETTINGS = {"storage": "file", "duplicate_window": 600 * 10**9, "allow_direct": False}
MARK = "mark.new"


async def api(connection: Client, call: str, body: dict[str, Any]) -> dict[str, Any]:
    reply: dict[str, Any] = json.loads((await connection.request(f"$JS.API.{call}", json.dumps(body).encode())).data)
    assert "error" not in reply, reply
    return reply


async def publish(connection: Client, subject: str, message_id: str) -> dict[str, Any]:
    reply = await connection.request(subject, message_id.encode(), headers={"Nats-Msg-Id": message_id})
    ack: dict[str, Any] = json.loads(reply.data)
    return ack


async def state(connection: Client, name: str) -> dict[str, Any]:
    found: dict[str, Any] = (await api(connection, f"STREAM.INFO.{name}", {}))["state"]
    return found


async def reaches(connection: Client, name: str, sequence: int) -> None:
    async with asyncio.timeout(10):
        while (await state(connection, name))["last_seq"] < sequence:
            await asyncio.sleep(0.01)


@pytest.fixture
async def mirrored(connection: Client) -> Client:
    """A stream of `stays.x` and `goes.x` in turn without its first message, and a mirror of `goes.x` and a marker."""
    old = SETTINGS | {"name": "OLD", "subjects": ["stays.x", "goes.x"]}
    await eventually(lambda: connection.jetstream().account_info())
    await api(connection, "STREAM.CREATE.OLD", old)
    for number in range(10):
        await publish(connection, f"{('stays', 'goes')[number % 2]}.x", f"m{number}")
    await api(connection, "STREAM.PURGE.OLD", {"seq": 2})
    mirror = {"name": "OLD", "subject_transforms": [{"src": "goes.x", "dest": ""}, {"src": MARK, "dest": ""}]}
    await api(connection, "STREAM.CREATE.NEW", SETTINGS | {"name": "NEW", "mirror": mirror})
    await reaches(connection, "NEW", 10)
    return connection


async def cut(connection: Client) -> None:
    await api(connection, "STREAM.UPDATE.OLD", SETTINGS | {"name": "OLD", "subjects": ["stays.x", MARK]})


async def promote(connection: Client) -> None:
    await api(connection, "STREAM.UPDATE.NEW", SETTINGS | {"name": "NEW", "subjects": ["goes.x"]})


async def test_a_mirror_keeps_sequences_times_and_holes_and_goes_on_with_its_own_subjects_when_it_is_promoted(
    mirrored: Client,
) -> None:
    for sequence in (2, 4, 6, 8, 10):
        old, new = [await api(mirrored, f"STREAM.MSG.GET.{name}", {"seq": sequence}) for name in ("OLD", "NEW")]
        assert old["message"] == new["message"]
    assert (await state(mirrored, "NEW"))["messages"] == 5
    await cut(mirrored)
    await promote(mirrored)
    assert await publish(mirrored, "goes.x", "next") == {"stream": "NEW", "seq": 11}


async def test_it_refuses_duplicates_of_what_it_copied_with_the_first_ones_sequence_also_after_a_restart(
    mirrored: Client, server: Server
) -> None:
    await cut(mirrored)
    await promote(mirrored)
    assert await publish(mirrored, "goes.x", "m7") == {"stream": "NEW", "seq": 8, "duplicate": True}
    server.kill()
    server.start()
    another = await connect(NatsAddress(server.url), "after the restart")
    await eventually(lambda: another.jetstream().stream_info("NEW"))
    assert await publish(another, "goes.x", "m7") == {"stream": "NEW", "seq": 8, "duplicate": True}
    await another.close()


async def test_it_does_not_number_what_it_leaves_out_hence_the_marker(mirrored: Client) -> None:
    for number in range(10, 20):
        await publish(mirrored, "stays.x", f"m{number}")
    await cut(mirrored)
    assert ((await state(mirrored, "OLD"))["last_seq"], (await state(mirrored, "NEW"))["last_seq"]) == (20, 10)
    marker = await publish(mirrored, MARK, "marker")
    await reaches(mirrored, "NEW", marker["seq"])
    await promote(mirrored)
    assert (await publish(mirrored, "goes.x", "next"))["seq"] == 22


async def test_its_first_sequence_is_that_of_its_first_message_hence_what_its_metadata_says(mirrored: Client) -> None:
    await publish(mirrored, "stays.x", "one more")
    await api(mirrored, "STREAM.PURGE.OLD", {"seq": 3})
    mirror = {"name": "OLD", "subject_transforms": [{"src": "goes.x", "dest": ""}]}
    await api(mirrored, "STREAM.CREATE.NEWER", SETTINGS | {"name": "NEWER", "mirror": mirror})
    await reaches(mirrored, "NEWER", 10)
    assert ((await state(mirrored, "OLD"))["first_seq"], (await state(mirrored, "NEWER"))["first_seq"]) == (3, 4)


async def test_between_cut_and_promotion_nobody_answers_a_publish_which_a_publisher_repeats(mirrored: Client) -> None:
    await cut(mirrored)
    with pytest.raises(NoRespondersError):
        await publish(mirrored, "goes.x", "between")
    assert (await publish(mirrored, "stays.x", "goes on"))["stream"] == "OLD"


async def test_the_server_says_which_stream_takes_a_subject_and_a_mirror_takes_none(mirrored: Client) -> None:
    assert (await api(mirrored, "STREAM.NAMES", {"subject": "goes.x"}))["streams"] == ["OLD"]
    await cut(mirrored)
    assert (await api(mirrored, "STREAM.NAMES", {"subject": "goes.x"}))["streams"] is None
    await promote(mirrored)
    assert (await api(mirrored, "STREAM.NAMES", {"subject": "goes.x"}))["streams"] == ["NEW"]


async def test_a_header_that_is_refused_after_the_id_was_looked_up_hence_the_question_for_ids_of_before(
    mirrored: Client,
) -> None:
    """With three copies the same is in tests/faults/test_split_in_a_cluster.py."""

    async def ask(message_id: str, header: str, value: str) -> Any:
        reply = await mirrored.request("stays.x", b"", headers={"Nats-Msg-Id": message_id, header: value})
        found: dict[str, Any] = json.loads(reply.data)
        return found.get("duplicate") or found["error"]["err_code"]

    before = await state(mirrored, "OLD")
    assert [await ask(message_id, "Nats-Rollup", "never") for message_id in ("m7", "new", "new")] == [
        True,
        10111,
        10111,
    ]
    assert await ask("m7", "Nats-Expected-Last-Sequence", str(2**62)) == 10071
    assert await state(mirrored, "OLD") == before
