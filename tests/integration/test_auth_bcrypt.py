"""bcrypt in the real service: slow for the one who asks first, and for nobody else."""

import asyncio
from pathlib import Path

from tests.support.auth_process import running_auth
from tests.support.fresh import Fresh
from wepeople_chassis.rpc import Refused


async def test_bcrypt_holds_nobody_up(fresh: Fresh, tmp_path: Path) -> None:
    async with running_auth(fresh.nats_url, fresh.dsn("auth"), tmp_path / "auth.log", bcrypt_cost=11) as auth:
        app = await auth.app(await auth.org())
        known = await auth.key(app)
        await auth.authenticate(known.token)
        new_keys = [await auth.key(app) for _ in range(6)]
        checking = asyncio.gather(*(auth.authenticate(key.token) for key in new_keys))
        answered = 0
        while not checking.done():
            await auth.authenticate(known.token)
            answered += 1
        assert {principal.key_id for principal in await checking} == {key.key.key_id for key in new_keys}
        # Behind six bcrypts of 120 ms one after the other there would be one or two.
        assert answered > 20


async def test_when_too_many_new_keys_come_at_once_the_rest_are_told_to_come_back(fresh: Fresh, tmp_path: Path) -> None:
    settings = {"bcrypt_cost": 11, "bcrypt_workers": 1, "bcrypt_waiting": 1}
    async with running_auth(fresh.nats_url, fresh.dsn("auth"), tmp_path / "auth.log", **settings) as auth:
        app = await auth.app(await auth.org())
        keys = [await auth.key(app) for _ in range(5)]
        answers = await asyncio.gather(*(auth.authenticate(key.token) for key in keys), return_exceptions=True)
        refused = [answer.error.code for answer in answers if isinstance(answer, Refused)]
        assert refused == ["unavailable"] * 3
        for key in keys:
            assert (await auth.authenticate(key.token)).key_id == key.key.key_id
