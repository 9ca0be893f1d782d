"""Each NATS user against a real server: what it must not do is refused, by name, and what it does works."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError
from pydantic import ValidationError
from structlog.testing import capture_logs

from tests.support.nats_users import ACCESS, SEEDS, nats_as
from tests.support.nats_uses import ASKERS, CALLS, FORBIDDEN_CALLS, SUBJECTS
from wepeople_chassis.broker import NatsAddress, connect, is_ready, serve_ready, user_of_seed
from wepeople_chassis.rpc_server import make_broker
from wepeople_chassis.stream import state_of
from wepeople_contracts.auth import KeyRevoked
from wepeople_contracts.directory import decode_fact
from wepeople_contracts.subjects import (
    AUTHENTICATE,
    KEY_REVOKED,
    LEASE_BUCKET,
    LEASE_STREAM,
    NO_APP,
    REQUEST_STATUS,
    STREAMS,
    auth_command,
    ingest_subject,
    lease_subject,
    leaving_subject,
    ready_subject,
    usage_subject,
)
from wepeople_embedded.nats_server import NatsServer
from wepeople_embedded.ports import free_port
from wepeople_provision.nats_users import USERS, authorization
from wepeople_provision.nkey_seeds import new_seed
from wepeople_provision.provision import nats_at
from wepeople_provision.stream import provision_streams
from wepeople_provision.stream_api import ask
from wepeople_provision.stream_plan import BUCKET_SETTINGS, CONSUMER_NANOSECONDS
from wepeople_quota.bucket import Bucket

FACT = ingest_subject("org_1", NO_APP, "directory")
EVENTS = ingest_subject("org_1", "app_1", "events")

HARMFUL = tuple(f"STREAM.{call}.{stream}" for call in ("DELETE", "PURGE", "CREATE") for stream in STREAMS)
"""What is not tried by whom it is allowed to: the tests need the stream."""


@pytest.fixture(scope="module")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[NatsServer]:
    directory = tmp_path_factory.mktemp("nats")
    server = NatsServer(directory / "data", port=free_port(), log_path=directory / "nats.log", access=ACCESS)
    await server.start()
    async with nats_at(nats_as("provision", server.url)) as connection:
        await provision_streams(connection)
    yield server
    await server.stop()


class Trying:
    """A user's connection, and what the server said that it may not do."""

    def __init__(self) -> None:
        self._refused: list[str] = []
        self._fences = 0
        self._moved = asyncio.Event()
        self.connection: Client

    async def hear(self, error: Exception) -> None:
        self._refused.append(str(error).removeprefix("nats: permissions violation for "))
        self._moved.set()

    async def refused(self) -> list[str]:
        """What was refused of all that was sent until now: whatever came before the refusal of one thing more."""
        self._fences += 1
        fence = f"nobodys.{self._fences}"
        await self.connection.publish(fence, b"")
        async with asyncio.timeout(10):
            while f'publish to "{fence}"' not in self._refused:
                self._moved.clear()
                await self._moved.wait()
        return [line for line in self._refused if "nobodys" not in line]


@asynccontextmanager
async def trying(user: str, server: NatsServer) -> AsyncIterator[Trying]:
    attempt = Trying()
    attempt.connection = await connect(nats_as(user, server.url), f"try-{user}", error_cb=attempt.hear)
    try:
        yield attempt
    finally:
        await attempt.connection.close()


async def last_sequence(server: NatsServer) -> int:
    async with trying("operator", server) as operator:
        return (await state_of(operator.connection, STREAMS[0])).last_sequence


async def ignore(_: Msg) -> None:
    return


@pytest.mark.parametrize("user", USERS)
async def test_a_user_publishes_what_it_says_and_the_server_refuses_it_all_else(user: str, server: NatsServer) -> None:
    theirs = {use.subject for use in SUBJECTS if user in use.says and "*" not in use.subject}
    theirs |= {f"$JS.API.{call}" for call, users in CALLS.items() if user in users and call not in HARMFUL}
    others = {use.subject for use in SUBJECTS if user not in use.says and "*" not in use.subject}
    others |= {f"$JS.API.{call}" for call, users in CALLS.items() if user not in users}
    others |= {f"$JS.API.{call}" for call in FORBIDDEN_CALLS}
    inboxes = {other: f"{nats_as(other, '').inbox_prefix}.x" for other in USERS}
    answers = {inboxes[asker] for asker in ASKERS.get(user, set())} | ({"_INBOX.x"} if user in ASKERS else set())
    theirs |= answers
    others |= {"_INBOX.x", "$SYS.REQ.SERVER.PING", *inboxes.values()} - answers
    async with trying(user, server) as attempt:
        for subject in sorted(theirs):
            await attempt.connection.publish(subject.replace("*", "x"), b"")
        assert await attempt.refused() == []
        for subject in sorted(others):
            await attempt.connection.publish(subject.replace("*", "x"), b"")
        refused = await attempt.refused()
    expected = [f'publish to "{subject.lower()}"' for subject in sorted(others)]
    assert refused == [line.replace("*", "x") for line in expected]


@pytest.mark.parametrize("user", USERS)
async def test_a_user_hears_what_is_for_it_and_the_server_refuses_it_all_else(user: str, server: NatsServer) -> None:
    theirs = {use.subject for use in SUBJECTS if user in use.hears} | {f"{nats_as(user, '').inbox_prefix}.>"}
    others = {use.subject for use in SUBJECTS if user not in use.hears} | {">", "_INBOX.>", "$JS.>", "$KV.>", "$SYS.>"}
    others |= {"rpc.>", "ingest.>", "*.>", "$JS.EVENT.>"}
    others |= {f"{nats_as(other, '').inbox_prefix}.>" for other in USERS if other != user}
    async with trying(user, server) as attempt:
        for subject in sorted(theirs):
            await attempt.connection.subscribe(subject, cb=ignore)
        assert await attempt.refused() == []
        for subject in sorted(others):
            await attempt.connection.subscribe(subject, cb=ignore)
        refused = await attempt.refused()
    assert refused == [f'subscription to "{subject.lower()}"' for subject in sorted(others)]


async def test_the_gateway_stores_events_and_cannot_forge_a_fact_of_the_directory(server: NatsServer) -> None:
    async with trying("gateway", server) as gateway:
        stored = await gateway.connection.request(EVENTS, b"{}", timeout=5)
        sequence = json.loads(stored.data)["seq"]
        with pytest.raises(NatsError):
            await gateway.connection.request(FACT, b"forged", timeout=0.3)
    assert await last_sequence(server) == sequence


async def test_what_the_server_can_be_made_to_say_in_the_gateways_place_is_no_fact_and_no_command(
    server: NatsServer,
) -> None:
    """A request names where its answer goes, and the server asks nobody before it answers there."""
    async with (
        trying("auth", server) as auth,
        trying("gateway", server) as gateway,
        trying("operator", server) as operator,
    ):
        heard: asyncio.Queue[Msg] = asyncio.Queue()
        await auth.connection.subscribe(KEY_REVOKED, cb=heard.put)
        assert await auth.refused() == []
        await gateway.connection.publish(EVENTS, b"{}", reply=FACT)
        await gateway.connection.publish("$JS.API.STREAM.MSG.GET.INGEST", b'{"seq":1}', reply=KEY_REVOKED)
        said = await asyncio.wait_for(heard.get(), 5)
        with pytest.raises(ValidationError):
            KeyRevoked.model_validate_json(said.data)
        last = await operator.connection.jetstream().get_last_msg("INGEST", FACT)
        with pytest.raises((msgspec.DecodeError, ValueError)):
            decode_fact(last.data or b"")


async def test_an_answer_goes_to_who_asked_and_to_nobody_who_does_not_ask(server: NatsServer) -> None:
    async with trying("quota", server) as quota, trying("gateway", server) as gateway:

        async def answer(message: Msg) -> None:
            await message.respond(b"answer")

        await quota.connection.subscribe(usage_subject("org_1"), cb=answer)
        strangers = nats_as("analyst", server.url).inbox_prefix
        await quota.connection.publish(f"{strangers}.x", b"unasked")
        assert len(await quota.refused()) == 1
        reply = await gateway.connection.request(usage_subject("org_1"), b"", timeout=5)
        assert reply.data == b"answer"


PLACES = (
    EVENTS,
    FACT,
    "$JS.API.STREAM.PURGE.INGEST",
    "$JS.API.STREAM.DELETE.INGEST",
    lease_subject(STREAMS[0]),
    KEY_REVOKED,
)


@pytest.mark.parametrize(
    ("answerer", "asker", "subject"),
    [
        *(("auth", "auth", KEY_REVOKED), ("quota", "quota", leaving_subject(STREAMS[0]))),
        *(
            ("quota", "gateway", usage_subject("org_1")),
            ("auth", "gateway", AUTHENTICATE),
            ("auth", "operator", auth_command("x")),
        ),
        *(("projector", "gateway", REQUEST_STATUS), ("gateway", "operator", ready_subject("gateway"))),
    ],
)
async def test_no_request_gives_the_right_to_answer_elsewhere_than_into_an_inbox(
    answerer: str, asker: str, subject: str, server: NatsServer
) -> None:
    """Neither to one who asks itself, nor to one who is asked for the sake of that answer."""
    before = await last_sequence(server)
    may = {use.subject for use in SUBJECTS if answerer in use.says}
    places = [place for place in PLACES if place not in may]
    async with trying(answerer, server) as answering, trying(asker, server) as asking:
        heard: asyncio.Queue[Msg] = asyncio.Queue()
        await answering.connection.subscribe(subject, cb=heard.put)
        assert await answering.refused() == []
        for place in places:
            await asking.connection.publish(subject, b"x", reply=place)
        for _ in places:
            await answering.connection.publish((await asyncio.wait_for(heard.get(), 5)).reply, b"forged")
        assert await answering.refused() == [f'publish to "{place.lower()}"' for place in places]
    assert await last_sequence(server) == before


async def test_the_leases_bucket_of_a_release_before_is_narrowed_and_its_entry_kept(server: NatsServer) -> None:
    wide = {"name": LEASE_STREAM, "subjects": [f"$KV.{LEASE_BUCKET}.>"], "max_msg_size": -1}
    async with nats_at(nats_as("provision", server.url)) as provisioner, trying("quota", server) as quota:
        await ask(provisioner, "STREAM.UPDATE", LEASE_STREAM, BUCKET_SETTINGS | wide)
        bucket = Bucket(quota.connection, STREAMS[0])
        written = await bucket.replace(await bucket.read(), 3, "owner", frozenset({0}))
        assert written is not None
        done = await provision_streams(provisioner)
        assert [line.split(" -> ")[0].split()[2] for line in done[1:]] == ["subjects", "max_msg_size"]
        assert (await provision_streams(provisioner))[1] == f"stream {LEASE_STREAM}: as it should be"
        refused = json.loads((await quota.connection.request(lease_subject(STREAMS[0]), bytes(2000), timeout=5)).data)
        assert "size" in refused["error"]["description"]
        assert await bucket.read() == written
    async with nats_at(NatsAddress(server.url)) as guest:
        with pytest.raises(NoRespondersError):
            await guest.request(f"$KV.{LEASE_BUCKET}.other", b"", timeout=5)


async def test_a_consumer_that_is_made_to_stay_for_ever_goes_like_any_other(server: NatsServer) -> None:
    for_ever = {"durable_name": "stays", "ack_policy": "explicit", "filter_subject": EVENTS}
    call = f"$JS.API.CONSUMER.CREATE.INGEST.stays.{EVENTS}"
    async with trying("analyst", server) as analyst:
        for threshold, allowed in ((0, True), (86_400 * 10**9, False)):
            config = for_ever | {"inactive_threshold": threshold}
            request = json.dumps({"stream_name": "INGEST", "config": config, "action": "create"}).encode()
            reply = json.loads((await analyst.connection.request(call, request, timeout=5)).data)
            if allowed:
                assert reply["config"]["inactive_threshold"] == CONSUMER_NANOSECONDS
            else:
                assert "exceeds" in reply["error"]["description"]
        await analyst.connection.request("$JS.API.CONSUMER.DELETE.INGEST.stays", b"", timeout=5)


async def test_each_service_says_that_it_is_ready_and_the_operator_hears_it(server: NatsServer) -> None:
    async with trying("operator", server) as operator:
        for service in ("gateway", "auth", "quota", "projector"):
            async with trying(service, server) as serving:
                await serve_ready(serving.connection, service)
                async with asyncio.timeout(10):
                    while not await is_ready(operator.connection, service):
                        await asyncio.sleep(0.01)


async def test_a_refusal_is_logged_by_the_connections_name_and_the_subject(server: NatsServer) -> None:
    broker = make_broker(nats_as("quota", server.url), "quota-rpc")
    connection = await connect(nats_as("gateway", server.url), "gateway-publish")
    with capture_logs() as logs:
        try:
            await (await broker.connect()).publish(EVENTS, b"")
            await connection.publish(FACT, b"")
            async with asyncio.timeout(10):
                while len(denied := [line for line in logs if line["event"] == "nats_permission_denied"]) < 2:
                    await asyncio.sleep(0.01)
        finally:
            await broker.stop()
            await connection.close()
    assert {line["connection"]: (line["log_level"], line["error"]) for line in denied} == {
        "quota-rpc": ("error", f'permissions violation for publish to "{EVENTS}"'),
        "gateway-publish": ("error", f'permissions violation for publish to "{FACT}"'),
    }


async def test_without_a_credential_or_with_a_strangers_nobody_is_let_in(tmp_path: Path) -> None:
    access = authorization({user: user_of_seed(seed) for user, seed in SEEDS.items()})
    server = NatsServer(
        tmp_path / "data", port=free_port(), log_path=tmp_path / "nats.log", access=access, seed=SEEDS["provision"]
    )
    await server.start()
    try:
        for seed in (None, new_seed()):
            with pytest.raises(NatsError, match=r"(?i)authorization violation"):
                await connect(NatsAddress(server.url, seed), "stranger", allow_reconnect=False)
    finally:
        await server.stop()
