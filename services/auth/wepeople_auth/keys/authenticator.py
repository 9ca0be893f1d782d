"""From a bearer token to a principal, from memory if possible."""

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from wepeople_auth.keys.matching import Matching
from wepeople_auth.keys.states import FRESH_SECONDS, MAX_AGE_SECONDS, KeyState, KeyStates
from wepeople_auth.refusals import DatabaseAway, invalid_key
from wepeople_chassis.logging import get_logger
from wepeople_contracts.auth import Principal
from wepeople_contracts.ids import key_public_id

log = get_logger(__name__)

READ_SECONDS = 1.5
"""So long a caller waits for a read; a Postgres that hangs counts as away."""

AWAY_SECONDS = 1.0
"""So long after a failed read older states serve at once; then one caller tries Postgres again, the others go on."""

NEVER = float("-inf")


class StateReader(Protocol):
    """Where a key's state is read."""

    async def read_state(self, key_id: str) -> KeyState | None:
        """The key's state; None for an unknown id, `DatabaseAway` when nobody can tell."""


class Authenticator:
    """Fails closed: without a verdict of bcrypt and a state of at most 60 s, nobody gets in."""

    def __init__(
        self,
        reader: StateReader,
        matching: Matching,
        states: KeyStates,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._reader = reader
        self._matching = matching
        self._states = states
        self._clock = clock
        self._reading: dict[str, asyncio.Task[KeyState | None]] = {}
        self._away_until = NEVER

    def recall(self, token: str) -> Principal | None:
        """Who holds the key, from memory alone; None when it takes a read or bcrypt, `invalid_key` when it is not."""
        key_id = key_public_id(token)
        if key_id is None:
            raise invalid_key()
        remembered = self._recall_state(key_id)
        if remembered is None:
            return None
        state, age_seconds = remembered
        matched = self._matching.remembered(token, state.hash)
        if state.revoked or matched is False:
            raise invalid_key()
        return state.principal_aged(age_seconds) if matched else None

    async def authenticate(self, token: str) -> Principal:
        """Who holds the key; `invalid_key` when it is malformed, unknown, wrong or revoked, `unavailable` when nobody
        can tell just now.
        """
        if (principal := self.recall(token)) is not None:
            return principal
        key_id = key_public_id(token)
        assert key_id is not None
        state, _ = await self._live_state(key_id)
        if not await self._matching.matches(token, state.hash):
            raise invalid_key()
        # bcrypt took its time, in which the key may have been revoked.
        state, age_seconds = await self._live_state(key_id)
        return state.principal_aged(age_seconds)

    async def _live_state(self, key_id: str) -> tuple[KeyState, float]:
        """A state that is not revoked, and its age; nothing is awaited after the last look at the memory."""
        while (remembered := self._recall_state(key_id)) is None:
            if self._away_until > NEVER:
                self._away_until = self._clock() + READ_SECONDS
            try:
                read = await self._read_once(key_id)
            except DatabaseAway as error:
                if self._away_until == NEVER:
                    log.warning("postgres_away_serving_from_memory", error=str(error.__cause__))
                self._away_until = self._clock() + AWAY_SECONDS
                if self._recall_state(key_id) is None:
                    raise
                continue
            if read is None or read.revoked:
                raise invalid_key()
        state, age_seconds = remembered
        if state.revoked:
            raise invalid_key()
        return state, age_seconds

    def _recall_state(self, key_id: str) -> tuple[KeyState, float] | None:
        now = self._clock()
        max_age_seconds = MAX_AGE_SECONDS if now < self._away_until else FRESH_SECONDS
        return self._states.recall(key_id, now=now, max_age_seconds=max_age_seconds)

    async def _read_once(self, key_id: str) -> KeyState | None:
        """One read per key at a time; all who wait share it, and none waits longer than `READ_SECONDS`."""
        if (task := self._reading.get(key_id)) is None:
            task = asyncio.create_task(self._read(key_id))
            self._reading[key_id] = task
            task.add_done_callback(lambda done: self._finished(key_id, done))
        done, _ = await asyncio.wait({task}, timeout=READ_SECONDS)
        if not done:
            raise DatabaseAway
        return task.result()

    async def _read(self, key_id: str) -> KeyState | None:
        generation, began_at = self._states.generation, self._clock()
        state = await self._reader.read_state(key_id)
        if self._away_until > NEVER:
            log.info("postgres_back")
            self._away_until = NEVER
        if state is not None:
            self._states.remember(state, began_at=began_at, generation=generation)
        return state

    def _finished(self, key_id: str, task: asyncio.Task[KeyState | None]) -> None:
        del self._reading[key_id]
        if not task.cancelled():
            task.exception()
