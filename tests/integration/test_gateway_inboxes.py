"""Who is asked may publish into the gateway's inboxes, and so must not know where another's answer goes."""

import asyncio

from nats.aio.msg import Msg

from tests.support.client import Client, client, refusal
from tests.support.nats_users import nats_as
from tests.support.system import RunningSystem
from wepeople_chassis.broker import connect
from wepeople_contracts.ids import new_key
from wepeople_contracts.subjects import AUTHENTICATE, QUOTA_ALL


async def test_quota_is_never_shown_the_inbox_of_auths_answers(system: RunningSystem, api: Client) -> None:
    questions: asyncio.Queue[Msg] = asyncio.Queue()
    asked = {"auth": AUTHENTICATE, "quota": QUOTA_ALL}
    connections = [await connect(nats_as(user, system.nats_url), f"also-{user}") for user in asked]
    try:
        for connection, subject in zip(connections, asked.values(), strict=True):
            await connection.subscribe(subject, cb=questions.put)
            await connection.flush()
        async with client(system.gateway_url, new_key()) as stranger:
            refusal(await stranger.ping(), 401, "invalid_key")
        await api.send("GET", "/usage")
        inboxes: dict[str, set[str]] = {}
        async with asyncio.timeout(10):
            while len(inboxes) < len(asked):
                question = await questions.get()
                inboxes.setdefault(question.subject.split(".")[1], set()).add(question.reply.rpartition(".")[0])
    finally:
        for connection in connections:
            await connection.close()
    assert inboxes["auth"].isdisjoint(inboxes["quota"])
