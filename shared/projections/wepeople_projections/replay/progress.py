"""Shows how long work goes on: a bar on a terminal, a line now and then elsewhere, JSON lines for scripts."""

import json
import math
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

RATE_SECONDS = 10.0
"""Over how long the rows a second and the time left are taken."""
LINE_SECONDS = 5.0
JSON_SECONDS = 1.0
BAR_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class Standing:
    """How the work stands. `seconds_left` is None while nobody can tell."""

    messages: int
    total: int
    rows: int
    rows_per_second: int
    seconds_left: int | None


class Meter:
    """Counts messages and rows, and knows the rate of the last ten seconds. `clock` is in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._left: dict[int, int] = {}
        self._messages = 0
        self._rows = 0
        self._moments: deque[tuple[float, int, int]] = deque([(clock(), 0, 0)])

    @property
    def left(self) -> int:
        """Messages that are still to come."""
        return sum(self._left.values())

    def found(self, partition: int, left: int) -> None:
        """So many messages of a partition are left; fewer than before means that they were worked off."""
        self._messages += max(self._left.get(partition, left) - left, 0)
        self._left[partition] = left

    def at_most(self, partition: int, left: int) -> None:
        """No more than so many messages of a partition are left."""
        self.found(partition, min(left, self._left.get(partition, left)))

    def counted(self, messages: int) -> None:
        """So many messages were worked off in all, as the stream itself has counted them."""
        self._messages = messages

    def wrote(self, rows: int) -> None:
        """Rows were written."""
        self._rows += rows

    def standing(self) -> Standing:
        """How it stands now."""
        now = self._clock()
        self._moments.append((now, self._messages, self._rows))
        while len(self._moments) > 2 and self._moments[1][0] <= now - RATE_SECONDS:  # noqa: PLR2004
            self._moments.popleft()
        since, messages, rows = self._moments[0]
        seconds = max(now - since, 1e-9)
        messages_per_second = (self._messages - messages) / seconds
        left = self.left
        return Standing(
            messages=self._messages,
            total=self._messages + left,
            rows=self._rows,
            rows_per_second=round((self._rows - rows) / seconds),
            seconds_left=0 if not left else round(left / messages_per_second) if messages_per_second > 0 else None,
        )


class Display(Protocol):
    """Shows a standing, as often as it likes; `done` when it is the last."""

    def show(self, standing: Standing, *, done: bool = False) -> None:
        """Show it, or leave it away if the last was shown just now."""


def in_words(standing: Standing) -> str:
    """A standing as one line's text."""
    percent = 100 * standing.messages // standing.total if standing.total else 100
    text = (
        f"{standing.messages:,} of {standing.total:,} messages ({percent}%), {standing.rows:,} rows, "
        f"{standing.rows_per_second:,} rows/s"
    )
    if standing.seconds_left:
        text += f", {timedelta(seconds=standing.seconds_left)} left"
    return text


@contextmanager
def display(what: str | None, console: Console, *, as_json: bool) -> Iterator[Display]:
    """The display that fits: JSON lines if asked for, a bar on a terminal, else plain lines; none without `what`."""
    if what is None:
        yield _Lines(math.inf, lambda _: None)
    elif as_json:
        yield _Lines(JSON_SECONDS, lambda standing: print(_as_json(what, standing), flush=True))
    elif console.is_terminal:
        with _bar(console) as bar:
            yield _Bar(bar, what)
    else:
        yield _Lines(LINE_SECONDS, lambda standing: console.print(f"{what}: {in_words(standing)}", highlight=False))


def _as_json(what: str, standing: Standing) -> str:
    values = {name: getattr(standing, name) for name in Standing.__slots__}
    return json.dumps({"progress": what, **values})


class _Lines:
    def __init__(self, seconds: float, write: Callable[[Standing], None]) -> None:
        self._seconds = seconds
        self._write = write
        self._next = time.monotonic() + seconds
        self._shown: tuple[int, int] | None = None

    def show(self, standing: Standing, *, done: bool = False) -> None:
        now = time.monotonic()
        counts = (standing.messages, standing.total)
        # Who follows the stream for days need not say every few seconds that nothing has come.
        if (done or now >= self._next) and (counts != self._shown or (done and self._shown is None)):
            self._write(standing)
            self._shown, self._next = counts, now + self._seconds


class _Bar:
    def __init__(self, bar: Progress, what: str) -> None:
        self._bar = bar
        self._task = bar.add_task(what, total=None, detail="")

    def show(self, standing: Standing, *, done: bool = False) -> None:
        self._bar.update(
            self._task, completed=standing.messages, total=max(standing.total, 1), detail=_detail(standing, done)
        )
        if not standing.total:
            self._bar.update(self._task, completed=1)


def _detail(standing: Standing, done: bool) -> str:
    counts = f"{standing.messages:,}/{standing.total:,} messages  {standing.rows_per_second:,} rows/s"
    if done or not standing.total - standing.messages:
        return counts
    left = "?" if standing.seconds_left is None else str(timedelta(seconds=standing.seconds_left))
    return f"{counts}  {left} left"


def _bar(console: Console) -> Progress:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(30),
        TaskProgressColumn(),
        TextColumn("{task.fields[detail]}"),
    )
    return Progress(*columns, console=console, refresh_per_second=1 / BAR_SECONDS)
