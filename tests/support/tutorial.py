"""A tutorial's fenced blocks, run as its reader would run them.

```sh             typed in a terminal of its own, after the lines of the first such block
```sh background  the same, and left running
```python file=F  written to F in the folder where the first block leads
```text           what the block before it printed: each line is there, … stands for anything
"""

import asyncio
import os
import re
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

REPEAT_SECONDS = 30.0
BLOCK_SECONDS = 60.0
_FENCE = re.compile(r"^```(?P<kind>\w+)(?: (?P<words>[^\n]+))?\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: the first word after the fence, the words after that, and what is in it."""

    kind: str
    words: str
    text: str


def blocks_of(markdown: str) -> list[Block]:
    """The fenced blocks that say of what kind they are."""
    return [Block(m["kind"], m["words"] or "", m["text"]) for m in _FENCE.finditer(markdown)]


def missing_lines(printed: str, shown: str) -> list[str]:
    """The lines that were shown to the reader and not printed; spaces count as one, and rules of tables as nothing."""
    found = [_plain(line) for line in printed.splitlines()]
    return [
        line
        for line in map(_plain, shown.splitlines())
        if not any(re.fullmatch(re.escape(line).replace("…", ".*"), candidate) for candidate in found)
    ]


@dataclass
class Reader:
    """Somebody who follows a tutorial from a checkout's folder."""

    checkout: Path
    preparation: str = ""
    left_running: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def follow(self, blocks: Sequence[Block]) -> None:
        """Do what the blocks say, one after the other; fails with what was printed when something is not as shown."""
        started = False
        for block, shown in _with_what_is_shown(blocks):
            if block.kind == "python" and block.words.startswith("file="):
                folder = Path(await self._printed("pwd"))
                (folder / block.words.removeprefix("file=")).write_text(block.text)
            elif block.kind == "sh" and block.words == "background":
                # Into a file, so that it never waits for somebody to read it.
                with (self.checkout / f"terminal-{len(self.left_running)}").open("wb") as printed:
                    self.left_running.append(await self._start(block.text, printed))
                started = True
            elif block.kind == "sh":
                # Whoever types it takes some seconds, and so has what was started before.
                await self._type(block.text, shown, REPEAT_SECONDS if started or shown else 0)
                self.preparation = self.preparation or block.text
                started = False

    async def leave(self) -> None:
        """Ctrl-C in every terminal."""
        for process in self.left_running:
            if process.returncode is None:
                os.killpg(process.pid, signal.SIGINT)
        for process in self.left_running:
            await asyncio.wait_for(process.wait(), 15)

    async def _type(self, text: str, shown: str, repeat_seconds: float) -> None:
        deadline = time.monotonic() + repeat_seconds
        while True:
            process = await self._start(text)
            out, _ = await asyncio.wait_for(process.communicate(), BLOCK_SECONDS)
            wrong = missing_lines(out.decode(), shown)
            if process.returncode == 0 and not wrong:
                return
            if time.monotonic() > deadline:
                raise AssertionError(f"{text}\nended with {process.returncode}; not printed: {wrong}\n\n{out.decode()}")
            await asyncio.sleep(0.2)

    async def _printed(self, text: str) -> str:
        process = await self._start(text)
        out, _ = await asyncio.wait_for(process.communicate(), BLOCK_SECONDS)
        return out.decode().strip()

    async def _start(self, text: str, printed: BinaryIO | int = asyncio.subprocess.PIPE) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *("bash", "-euo", "pipefail", "-c", f"{self.preparation}\n{text}"),
            cwd=self.checkout,
            env=os.environ | {"WEPEOPLE_STATE_DIR": ".wepeople"},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=printed,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )


def _with_what_is_shown(blocks: Sequence[Block]) -> Iterator[tuple[Block, str]]:
    for block, after in pairwise([*blocks, Block("end", "", "")]):
        yield block, after.text if after.kind == "text" else ""


def _plain(line: str) -> str:
    return " ".join(line.split())
