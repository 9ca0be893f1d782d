"""bcrypt runs beside the event loop, in so many threads and no more."""

import asyncio
import time

from wepeople_auth.keys.hashing import Hashing
from wepeople_chassis.rpc import Refused
from wepeople_contracts.ids import new_key


async def test_a_hash_covers_the_whole_key() -> None:
    hashing = Hashing(cost=4, workers=1, waiting=0)
    token = new_key()
    hashed = await hashing.hash(token)
    assert hashed.startswith("$2b$04$")
    assert await hashing.matches(token, hashed)
    other_end = "0" if token[-1] != "0" else "1"
    assert not await hashing.matches(token[:-1] + other_end, hashed)
    hashing.close()


async def test_the_loop_goes_on_while_bcrypt_computes() -> None:
    hashing = Hashing(cost=12, workers=1, waiting=0)
    longest, last = 0.0, time.monotonic()
    began = last
    computing = asyncio.create_task(hashing.hash(new_key()))
    while not computing.done():
        await asyncio.sleep(0.001)
        longest, last = max(longest, time.monotonic() - last), time.monotonic()
    computed_seconds = time.monotonic() - began
    assert longest < computed_seconds / 2
    hashing.close()


async def test_who_would_have_to_wait_too_long_is_told_to_come_back() -> None:
    hashing = Hashing(cost=4, workers=2, waiting=3)
    results = await asyncio.gather(*(hashing.hash(new_key()) for _ in range(8)), return_exceptions=True)
    refused = [result for result in results if isinstance(result, Refused)]
    assert len(refused) == 3
    assert {refusal.error.code for refusal in refused} == {"unavailable"}
    assert (await hashing.hash(new_key())).startswith("$2b$")
    hashing.close()
