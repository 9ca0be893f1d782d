"""What the database last said of each key, how old that is, and what a revocation does to it."""

from dataclasses import dataclass

from wepeople_auth.keys.lru import Lru
from wepeople_contracts.auth import Principal

FRESH_SECONDS = 5.0
"""So long a read serves without another; small, so that gateways may keep the principal for most of the minute."""

MAX_AGE_SECONDS = 60.0
"""So old a read may become while Postgres is away; then nobody is let in on it."""


@dataclass(frozen=True, slots=True)
class KeyState:
    """A key as one indexed read found it: its bcrypt hash, and whom it stands for while it is not revoked."""

    hash: str
    revoked: bool
    principal: Principal

    @property
    def key_id(self) -> str:
        """The key's public id."""
        return self.principal.key_id

    def principal_aged(self, age_seconds: float) -> Principal:
        """The caller who holds this key, by a read of that age."""
        return self.principal.model_copy(update={"age_seconds": age_seconds})


@dataclass(frozen=True, slots=True)
class _Read:
    state: KeyState
    began_at: float
    generation: int


class KeyStates:
    """Bounded memory of key states; times are seconds of one monotonic clock.

    Every revocation counts the generation up. A read belongs to the generation it began in, and is refused when its
    key was revoked in a later one: it may have seen the key as it was before.
    """

    def __init__(self, limit: int = 50_000) -> None:
        self._reads: Lru[str, _Read] = Lru(limit)
        self._revoked: Lru[str, int] = Lru(limit)
        self._generation = 0
        self._floor = 0

    @property
    def generation(self) -> int:
        """To be noted before a read begins, and given back with its result."""
        return self._generation

    def remember(self, state: KeyState, *, began_at: float, generation: int) -> bool:
        """Keep what a read found; False, and nothing is kept, when a revocation has overtaken it."""
        if self.overtaken(state.key_id, generation):
            return False
        self._reads.put(state.key_id, _Read(state, began_at, generation))
        return True

    def overtaken(self, key_id: str, generation: int) -> bool:
        """Whether a read of this key that began in `generation` must not be believed any more."""
        return generation < max(self._floor, self._revoked.get(key_id) or 0)

    def recall(self, key_id: str, *, now: float, max_age_seconds: float) -> tuple[KeyState, float] | None:
        """The state and its age in seconds; None when it is unknown or older than `max_age_seconds`."""
        read = self._reads.get(key_id)
        if read is None or now - read.began_at > max_age_seconds:
            return None
        return read.state, max(0.0, now - read.began_at)

    def forget(self, key_id: str) -> None:
        """The key was revoked."""
        self._generation += 1
        self._reads.drop(key_id)
        if evicted := self._revoked.put(key_id, self._generation):
            # Not knowing of which key any more, mistrust every read as old as that revocation.
            self._floor = max(self._floor, evicted[1])

    def forget_all(self) -> None:
        """Revocations may have been missed: nothing read so far is believed."""
        self._generation += 1
        self._floor = self._generation
        self._reads.clear()
