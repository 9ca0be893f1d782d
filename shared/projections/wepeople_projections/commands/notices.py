"""What the engine logs, as sentences for whoever watches: each kind now and then, nothing that mends itself at once."""

import time
from collections.abc import Callable
from typing import Any, NoReturn

import structlog
from rich.console import Console

from wepeople_projections.folding.parked import WHOLE_MESSAGE

EVERY_SECONDS = 10.0
_SILENT = (
    "fenced",
    "batch_refused",
    "gives_up",
    "parked_again",  # whoever retried it is told by the command
    "stream_reader_status",
    "stream_reader_gap",
    "nats_disconnected",
    "nats_error",
)
_WORDS = {
    "database_away": "Postgres does not answer; the work goes on when it does.",
    "locks_lost": "Postgres does not answer; the work goes on when it does.",
    "stream_away": "NATS does not answer; the work goes on when it does.",
    "stream_reader_waits": "NATS does not answer; the work goes on when it does.",
}
_LEVELS = ("warning", "error", "critical")


class Notices:
    """A processor of structlog that prints and ends the matter."""

    def __init__(self, console: Console, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._clock = clock
        self._next: dict[str, float] = {}
        self._unsaid: dict[str, int] = {}

    def __call__(self, _logger: Any, _method: str, event: structlog.typing.EventDict) -> NoReturn:
        """Print what should be said; always `DropEvent`."""
        name = str(event.get("event"))
        if event.get("level") in _LEVELS and name not in _SILENT:
            self._say(_WORDS.get(name, name), _sentence(name, event))
        raise structlog.DropEvent

    def _say(self, kind: str, sentence: str) -> None:
        now = self._clock()
        if now < self._next.get(kind, now):
            self._unsaid[kind] = self._unsaid.get(kind, 0) + 1
            return
        more = self._unsaid.pop(kind, 0)
        self._console.print(
            sentence + (f" ({more:,} more like this.)" if more else ""), style="yellow", markup=False, highlight=False
        )
        self._next[kind] = now + EVERY_SECONDS


def _sentence(name: str, event: structlog.typing.EventDict) -> str:
    if name == "parked":
        row = event.get("row")
        what = "" if row == WHOLE_MESSAGE else f"row {row} of "
        reason = str(event.get("reason", "")).strip().splitlines() or [""]
        return f"Parked: {what}message {event.get('sequence')}: {reason[-1]}"
    known = _WORDS.get(name)
    if known is not None:
        return known
    fields = ", ".join(f"{key} {value}" for key, value in event.items() if key not in ("event", "level"))
    return f"{name.replace('_', ' ')}: {fields}"
