"""Keys against the real service: who is let in, who is not, and how fast a revocation counts."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from psycopg import AsyncConnection

from tests.support.auth_process import Auth, auth_service, refusal, running_auth, until
from tests.support.fresh import Fresh, Template, fresh_system
from wepeople_chassis.rpc import Refused
from wepeople_contracts.auth import KeyRevoked, Principal
from wepeople_contracts.ids import new_key
from wepeople_contracts.operators import (
    AllowEventTypes,
    App,
    ChangePlan,
    CreateKey,
    Key,
    KeyList,
    ListKeys,
    NewKey,
    Org,
    RevokeKey,
)
from wepeople_contracts.subjects import AUTHENTICATE, KEY_REVOKED


@pytest.fixture(scope="module")
async def home(template: Template) -> AsyncIterator[Fresh]:
    """One database and stream for all: no key of one test is known to another."""
    async with fresh_system(template) as ready:
        yield ready


@pytest.fixture(scope="module")
async def auth(home: Fresh, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Auth]:
    log_path = tmp_path_factory.mktemp("auth") / "auth.log"
    async with running_auth(home.nats_url, home.dsn("auth"), log_path) as running:
        yield running


async def a_key(auth: Auth) -> NewKey:
    return await auth.key(await auth.app(await auth.org()))


async def revoke(auth: Auth, key: NewKey) -> Key:
    return await auth.command("revoke_key", RevokeKey(key_id=key.key.key_id), Key)


async def test_a_key_just_issued_lets_its_app_in_with_the_limits_of_the_plan(auth: Auth) -> None:
    org = await auth.org(plan="scale")
    app = await auth.app(org, event_types=("deploy.shipped", "review.done"))
    key = await auth.key(app)
    principal = await auth.authenticate(key.token)
    assert principal.age_seconds < 5
    assert principal.model_copy(update={"age_seconds": 0.0}) == Principal(
        org_id=org.org_id,
        app_id=app.app_id,
        app_slug="ci",
        connection="custom:ci",
        key_id=key.token[8:20],
        allowed_event_types=frozenset({"deploy.shipped", "review.done"}),
        key_requests_per_second=5_000,
        org_requests_per_second=20_000,
        max_events_per_month=None,
    )


async def test_a_keys_own_rate_stands_above_the_plans(auth: Auth) -> None:
    key = await auth.key(await auth.app(await auth.org()), requests_per_second=7)
    principal = await auth.authenticate(key.token)
    assert (principal.key_requests_per_second, principal.org_requests_per_second) == (7, 600)
    assert principal.max_events_per_month == 10_000_000


async def test_wrong_unknown_malformed_and_revoked_keys_are_refused_in_the_same_words(auth: Auth) -> None:
    app = await auth.app(await auth.org())
    live, revoked = await auth.key(app), await auth.key(app)
    await revoke(auth, revoked)
    wrong = live.token[:-1] + ("0" if live.token[-1] != "0" else "1")
    errors = [await refusal(auth.authenticate(t)) for t in (wrong, wrong, new_key(), "", "x" * 5000, revoked.token)]
    assert {error.code for error in errors} == {"invalid_key"}
    assert len({error.message for error in errors}) == 1
    assert (await auth.authenticate(live.token)).key_id == live.key.key_id


async def test_only_the_hash_is_kept(auth: Auth, home: Fresh) -> None:
    key = await a_key(auth)
    async with await AsyncConnection.connect(home.admin_dsn) as connection:
        rows = await (await connection.execute("SELECT hash, k::text FROM auth.keys k")).fetchall()
    assert all(hashed.startswith("$2b$") for hashed, _ in rows)
    assert key.token not in str(rows)
    listed = await auth.command("list_keys", ListKeys(app_id=key.key.app_id), KeyList)
    assert listed.keys == [key.key]


async def test_a_request_that_does_not_parse_is_answered(auth: Auth) -> None:
    for body in (b"", b"{}", b"\xff", b'{"token": 7}'):
        answer = await auth.connection.request(AUTHENTICATE, body, timeout=5)
        assert b'"code":"invalid"' in answer.data


async def test_a_revocation_is_broadcast_and_counts_in_every_process_within_a_second(
    auth: Auth, home: Fresh, tmp_path: Path
) -> None:
    log = tmp_path / "second.log"
    second = auth_service(home.nats_url, home.dsn("auth"), log)
    second.start()
    try:
        await until(lambda: _says_ready(log))
        heard = await auth.connection.subscribe(KEY_REVOKED)
        key = await a_key(auth)
        # Enough that both processes have it in memory.
        await asyncio.gather(*(auth.authenticate(key.token) for _ in range(50)))
        began = time.monotonic()
        assert (await revoke(auth, key)).revoked_at is not None
        assert KeyRevoked.model_validate_json((await heard.next_msg(timeout=1)).data).key_id == key.key.key_id
        errors = await asyncio.gather(*(refusal(auth.authenticate(key.token)) for _ in range(50)))
        assert {error.code for error in errors} == {"invalid_key"}
        assert time.monotonic() - began < 1
    finally:
        assert await second.stop() == 0


async def _says_ready(log: Path) -> bool:
    return '"event": "ready"' in log.read_text()


async def test_look_ups_that_race_a_revocation_do_not_bring_the_key_back(auth: Auth) -> None:
    app = await auth.app(await auth.org())

    async def let_in(token: str) -> bool:
        [answer] = await asyncio.gather(auth.authenticate(token), return_exceptions=True)
        assert isinstance(answer, Principal) or (isinstance(answer, Refused) and answer.error.code == "invalid_key")
        return isinstance(answer, Principal)

    for _ in range(10):
        key = await auth.key(app)
        racing = [asyncio.create_task(let_in(key.token)) for _ in range(20)]
        revoking = asyncio.create_task(revoke(auth, key))
        racing += [asyncio.create_task(let_in(key.token)) for _ in range(20)]
        await revoking
        assert not any(await asyncio.gather(*(let_in(key.token) for _ in range(20))))
        await asyncio.gather(*racing)
        assert not await let_in(key.token)


async def test_revoking_twice_keeps_the_first_time_and_is_no_error(auth: Auth) -> None:
    key = await a_key(auth)
    assert await revoke(auth, key) == await revoke(auth, key)


async def test_a_longer_whitelist_is_known_within_seconds(auth: Auth) -> None:
    key = await a_key(auth)
    assert (await auth.authenticate(key.token)).allowed_event_types == {"deploy.shipped"}
    request = AllowEventTypes(app_id=key.key.app_id, event_types=["review.done", "deploy.shipped"])
    app = await auth.command("allow_event_types", request, App)
    assert app.allowed_event_types == ["deploy.shipped", "review.done"]

    async def is_known() -> bool:
        return "review.done" in (await auth.authenticate(key.token)).allowed_event_types

    await until(is_known)


async def test_another_plan_is_known_within_seconds_and_an_unknown_one_changes_nothing(auth: Auth) -> None:
    org = await auth.org(plan="free")
    key = await auth.key(await auth.app(org))
    assert (await auth.authenticate(key.token)).max_events_per_month == 10_000
    unknown = await refusal(auth.command("change_plan", ChangePlan(org_id=org.org_id, plan="gold"), Org))
    assert unknown.code == "not_found"
    assert "free, scale, standard" in unknown.message
    changed = await auth.command("change_plan", ChangePlan(org_id=org.org_id, plan="scale"), Org)
    assert (changed.org_id, changed.plan.name) == (org.org_id, "scale")

    async def is_known() -> bool:
        principal = await auth.authenticate(key.token)
        return (principal.max_events_per_month, principal.key_requests_per_second) == (None, 5_000)

    await until(is_known)


async def test_what_cannot_be_found_is_named(auth: Auth) -> None:
    errors = [
        await refusal(auth.command("create_key", CreateKey(app_id="app_none"), NewKey)),
        await refusal(auth.command("list_keys", ListKeys(app_id="app_none"), KeyList)),
        await refusal(auth.command("revoke_key", RevokeKey(key_id="none"), Key)),
        await refusal(auth.command("change_plan", ChangePlan(org_id="org_none", plan="free"), Org)),
    ]
    assert {error.code for error in errors} == {"not_found"}
    assert all("none" in error.message for error in errors)
