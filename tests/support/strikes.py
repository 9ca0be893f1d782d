"""Killing parts of a running system at random moments, and starting them again."""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from nats.aio.client import Client

from wepeople_embedded.child import Child
from wepeople_embedded.services import START_ORDER
from wepeople_embedded.system import System

SERVERS = ("nats", "postgres")
VICTIMS = (*START_ORDER, *SERVERS)
_SHARE_OF_DOUBLES = 0.25


@dataclass(frozen=True, slots=True)
class Strike:
    """After a pause, these hang, then die together; they stay away for a while."""

    victims: tuple[str, ...]
    pause_seconds: float
    hang_seconds: float
    down_seconds: float


@dataclass(frozen=True, slots=True)
class Death:
    """What was killed, from when to when it was away (seconds since 1970)."""

    victim: str
    killed_at: float
    back_at: float


def plan(seed: int, kills_of_each: int) -> list[Strike]:
    """Each victim `kills_of_each` times, in a random order at random moments, now and then two at once."""
    chance = random.Random(seed)
    order = [victim for victim in VICTIMS for _ in range(kills_of_each)]
    chance.shuffle(order)
    strikes: list[Strike] = []
    while order:
        victims = [order.pop()]
        if order and order[-1] != victims[0] and chance.random() < _SHARE_OF_DOUBLES:
            victims.append(order.pop())
        strikes.append(
            Strike(
                tuple(victims),
                pause_seconds=chance.uniform(0.0, 1.2),
                # What was sent to a part that hangs is on its way when it dies.
                hang_seconds=chance.choice((0.0, 0.0, 0.3, 1.5)),
                down_seconds=chance.choice((0.0, 0.1, 0.5, 1.5)),
            )
        )
    return strikes


@dataclass(slots=True)
class Striker:
    """Carries strikes out on a system, and notices when something dies that was not struck."""

    system: System
    connection: Client
    say: Callable[[str], None]
    deaths: list[Death] = field(default_factory=list)

    async def carry_out(self, strikes: Sequence[Strike]) -> None:
        """All of them, one after another; says what it does."""
        for number, strike in enumerate(strikes, start=1):
            await asyncio.sleep(strike.pause_seconds)
            self._require_all_alive()
            began = time.time()
            children = [self._child(victim) for victim in strike.victims]
            if strike.hang_seconds:
                for child in children:
                    child.signal(signal.SIGSTOP)
                await asyncio.sleep(strike.hang_seconds)
            await asyncio.gather(*(child.kill() for child in children))
            await asyncio.sleep(strike.down_seconds)
            await self._start(strike.victims)
            self.deaths += [Death(victim, began, time.time()) for victim in strike.victims]
            away = time.time() - began
            self.say(f"strike {number}/{len(strikes)}: {' and '.join(strike.victims)}, away {away:.1f} s")
        self._require_all_alive()

    def kills(self) -> Counter[str]:
        """How often each part died."""
        return Counter(death.victim for death in self.deaths)

    def around(self, moment: float, seconds: float = 10.0) -> list[str]:
        """What was away within so many seconds of a moment."""
        return [
            f"{death.victim} killed {death.killed_at - moment:+.2f} s, back {death.back_at - moment:+.2f} s"
            for death in self.deaths
            if death.killed_at - seconds <= moment <= death.back_at + seconds
        ]

    def _child(self, victim: str) -> Child:
        if victim == "nats":
            return self.system.nats.child
        if victim == "postgres":
            return self.system.postgres.child
        return self.system.services[victim].child

    async def _start(self, victims: Sequence[str]) -> None:
        services = [self.system.services[victim] for victim in victims if victim not in SERVERS]
        for service in services:
            service.start()
        if "nats" in victims:
            await self.system.nats.start()
        if "postgres" in victims:
            await self.system.postgres.start()
        await asyncio.gather(*(service.wait_ready(self.connection) for service in services))

    def _require_all_alive(self) -> None:
        ended = self.system.ended()
        if ended is not None:
            tail = "\n".join(ended.log_tail())
            raise AssertionError(f"{ended.name} ended by itself with code {ended.exit_code}:\n{tail}")
