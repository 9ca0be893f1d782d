"""The runbooks of docs/runbooks.md and the like, typed as an operator would: a section's commands, one after another.

```sh          typed here; ```text after it is what it prints (… stands for anything), waited for where it takes a while
```sh compose  depends on how the services are run; the test does the same with its own processes
"""

import asyncio
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.support.tutorial import Block, blocks_of, missing_lines

DOCS = Path(__file__).parents[2] / "docs"
PAGE = "runbooks.md"
COMMAND_SECONDS = 90.0
REPEAT_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Terminal:
    """Where commands are typed."""

    folder: Path
    environment: Mapping[str, str]

    async def type(self, text: str, shown: str) -> str:
        """What the commands print; fails when one fails, or when it does not come to what is shown."""
        deadline = time.monotonic() + (REPEAT_SECONDS if shown else 0)
        while True:
            process = await asyncio.create_subprocess_exec(
                *("bash", "-euo", "pipefail", "-c", text),
                cwd=self.folder,
                env=self.environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.STDOUT,
            )
            out, _ = await asyncio.wait_for(process.communicate(), COMMAND_SECONDS)
            printed = out.decode()
            wrong = missing_lines(printed, shown)
            if process.returncode == 0 and not wrong:
                return printed
            if time.monotonic() > deadline:
                raise AssertionError(f"{text}\nended with {process.returncode}; not printed: {wrong}\n\n{printed}")
            await asyncio.sleep(0.3)


@dataclass(slots=True)
class Runbook:
    """One section, block by block."""

    title: str
    page: str = PAGE
    blocks: list[Block] = field(default_factory=list)

    @staticmethod
    def titles() -> list[str]:
        """Of all sections."""
        return re.findall(r"^## (.+)$", (DOCS / PAGE).read_text(), re.MULTILINE)

    def __post_init__(self) -> None:
        text = (DOCS / self.page).read_text()
        section = re.search(rf"^## {re.escape(self.title)}$(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
        assert section, f"no runbook {self.title!r}"
        self.blocks = blocks_of(section[1])

    async def step(self, terminal: Terminal) -> str:
        """Type the next block; what it printed."""
        block = self.blocks.pop(0)
        assert (block.kind, block.words) == ("sh", ""), block
        shown = self.blocks.pop(0).text if self.blocks and self.blocks[0].kind == "text" else ""
        return await terminal.type(block.text, shown)

    def by_hand(self, *words: str) -> None:
        """The next block is one that the test does in its own way; it has these words in it."""
        block = self.blocks.pop(0)
        assert (block.kind, block.words) == ("sh", "compose"), block
        for word in words:
            assert word in block.text, block

    def ends(self) -> None:
        """Nothing is left."""
        assert self.blocks == []
