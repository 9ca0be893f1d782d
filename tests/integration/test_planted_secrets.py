"""Secrets come by files and the environment, and go nowhere: they are planted, used, and then looked for everywhere."""

import asyncio
import json
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from nats.js.errors import APIError

from tests.support.client import client
from tests.support.nats_users import SEEDS, nats_environment
from tests.support.operators import EVENT_TYPE, operators
from tests.support.planted import Planted, answers_of, arguments_of_all_processes, planted_system
from tests.support.read_models import rows_of_request
from tests.support.shell import WEPEOPLE, wepeople
from wepeople_chassis.broker import NatsAddress, connect
from wepeople_chassis.logging import without_secrets
from wepeople_chassis.stream import state_of
from wepeople_contracts.subjects import STREAMS
from wepeople_provision.roles import LOGIN_ROLES

EVENT = {"eventType": EVENT_TYPE, "category": "code", "actor": {"email": "alex@acme.com"}}
PASSWORD = "pl4nted-p4ssword"
WRONG = f"postgresql://wepeople_auth:100%{PASSWORD}@127.0.0.1:1/wepeople"
"""The password is not quoted."""
NOBODY_THERE = f"postgresql://wepeople_auth:{PASSWORD}@127.0.0.1:1/wepeople"


@pytest.fixture(scope="module")
async def planted(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Planted]:
    """A system that has been used: by callers, rightly and wrongly, and by operators."""
    async with planted_system(tmp_path_factory.mktemp("planted")) as running:
        await _use(running)
        yield running


async def _use(planted: Planted) -> None:
    system = planted.system
    async with client(system.gateway_url, system.api_key) as demo:
        sent = await demo.events([EVENT, {"eventType": "nobody.knows"}])
        await demo.post("/snapshots", b"{")
        await demo.send("GET", f"/requests/{sent.json()['requestId']}")
    await rows_of_request(system.operator_dsn, sent.json()["requestId"], 1)


async def test_no_log_has_one_not_even_that_of_postgres(planted: Planted) -> None:
    logs = planted.logs()
    assert {"gateway.log", "auth.log", "quota.log", "projector.log", "nats.log", "postgres.log"} <= logs.keys()
    assert b"auth.keys" in logs["postgres.log"], "it logs every statement"
    assert {name: found for name, text in logs.items() if (found := planted.found_in(text))} == {}


async def test_no_process_was_given_one_as_an_argument(planted: Planted) -> None:
    with arguments_of_all_processes() as arguments:
        assert any(b"wepeople_gateway" in line for line in arguments.values())
        assert {pid: found for pid, line in arguments.items() if (found := planted.found_in(line))} == {}


async def test_no_answer_has_one(planted: Planted) -> None:
    system = planted.system
    half = system.api_key[:-6] + "ffffff"
    said = b""
    for key in (system.api_key, half, system.api_key + "0", system.api_key[:20]):
        async with client(system.gateway_url, key) as caller:
            for path in ("/ping", f"/requests/{key}", f"/usage?key={key}", f"/{key}"):
                answer = await caller.send("GET", path)
                said += answer.body + repr(answer.headers).encode()
            said += (await caller.post("/events", json.dumps({"events": key}).encode())).body
            said += (await caller.send("POST", "/events", b"\xff", {"Authorization": f"Basic {key}"})).body
    assert planted.found_in(said) == []
    assert half.encode() not in said


async def test_no_metric_and_nothing_else_on_the_ops_port_has_one(planted: Planted) -> None:
    for name in ("gateway", "auth", "quota", "projector"):
        [port] = re.findall(rb'"port": (\d+), "event": "ops_listening"', planted.logs()[f"{name}.log"])
        said = await answers_of(f"http://127.0.0.1:{int(port)}", "/metrics", "/readyz", "/healthz", "/nowhere")
        assert b"wepeople_" in said
        assert planted.found_in(said) == []


async def test_no_message_of_the_stream_has_one(planted: Planted) -> None:
    connection = await connect(NatsAddress(planted.system.nats_url), "tests")
    try:
        last = (await state_of(connection, STREAMS[0])).last_sequence
        assert last > 2
        for sequence in range(1, last + 1):
            try:
                message = await connection.jetstream().get_msg(STREAMS[0], sequence)
            except APIError:
                continue
            stored = f"{message.subject} {message.headers}".encode() + (message.data or b"")
            assert planted.found_in(stored) == [], sequence
    finally:
        await connection.close()


async def test_no_command_prints_one_but_that_which_issues_a_key(planted: Planted) -> None:
    system = planted.system
    async with operators(system.nats_url) as operator:
        caller = await operator.caller()
    for arguments in (
        ["status"],
        ["org", "list", "--json"],
        ["key", "list", caller.app_id, "--json"],
        ["key", "revoke", caller.key_id],
        ["projection", "status", "--json"],
        ["key", "list", system.api_key],
    ):
        result = await wepeople(system.nats_url, system.operator_dsn, *arguments)
        assert planted.found_in(result.stdout + result.stderr) == [], arguments
        assert caller.token not in result.stdout + result.stderr, arguments


@pytest.mark.parametrize("address", [WRONG, NOBODY_THERE], ids=["wrong", "nobody there"])
async def test_an_address_is_refused_or_waited_for_without_being_shown(
    planted: Planted, address: str, tmp_path: Path
) -> None:
    passwords = tmp_path / "passwords.json"
    passwords.write_text(json.dumps(dict.fromkeys(LOGIN_ROLES, PASSWORD)))
    own = {"WEPEOPLE_POSTGRES_DSN": address, "WEPEOPLE_LOG_LEVEL": "DEBUG"}
    provisioners = {"WEPEOPLE_ADMIN_DSN": address, "WEPEOPLE_ROLE_PASSWORDS_FILE": str(passwords)}
    commands: list[tuple[str, dict[str, str], list[str]]] = [
        *((name, own, [sys.executable, "-m", f"wepeople_{name}"]) for name in ("auth", "quota", "projector")),
        ("provision", provisioners, [str(WEPEOPLE), "provision"]),
        ("operator", own, [str(WEPEOPLE), "timeline", "alex@acme.com"]),
    ]
    for user, environment, command in commands:
        said = await _said(planted, user, environment, *command)
        assert said, command
        assert PASSWORD not in said, command


async def test_a_seed_that_is_wrong_is_refused_without_being_shown(planted: Planted) -> None:
    seed = SEEDS["auth"][:-1] + "A"
    environment = {"WEPEOPLE_NATS_SEED": seed, "WEPEOPLE_POSTGRES_DSN": planted.system.operator_dsn}
    for command in ([sys.executable, "-m", "wepeople_gateway"], [str(WEPEOPLE), "org", "list"]):
        said = await _said(planted, "auth", environment, *command)
        assert said, command
        assert seed not in said, command


def test_what_looks_like_a_secret_is_blotted_out_of_every_line() -> None:
    for text in (f"Bearer {PASSWORD}", f"password={PASSWORD}", f"postgresql://somebody:{PASSWORD}@host/db"):
        assert PASSWORD not in without_secrets(text)


async def _said(planted: Planted, user: str, environment: dict[str, str], *command: str | Path) -> str:
    """What a program prints until it ends, or for a few seconds."""
    process = await asyncio.create_subprocess_exec(
        *command,
        env=os.environ | nats_environment(user, planted.system.nats_url) | environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(30):
            said = await process.stdout.readline()
        with suppress(TimeoutError):
            async with asyncio.timeout(3):
                while line := await process.stdout.readline():
                    said += line
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()
    return said.decode(errors="replace")
