"""The tutorial of docs/projections.md, from `make up` to a promoted projection, and the examples that it shows."""

import sys
import time
from pathlib import Path

import pytest

from tests.support.read_models import query
from tests.support.tutorial import Block, Reader, blocks_of, missing_lines
from tests.support.up_process import read_demo, up
from wepeople_embedded.ports import free_port

ROOT = Path(__file__).parents[2]
BLOCKS = blocks_of((ROOT / "docs/projections.md").read_text("utf-8"))
TEN_MINUTES = 600


@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_the_tutorial_works_as_it_is_written_and_takes_less_than_ten_minutes(tmp_path: Path) -> None:
    started_at = time.monotonic()
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    (checkout / ".venv").symlink_to(sys.prefix)
    reader = Reader(checkout)
    async with up(checkout / ".wepeople", free_port()) as running:
        try:
            await reader.follow(BLOCKS)
        finally:
            await reader.leave()
        rows = await query(
            read_demo(running.state_dir)["postgresDsn"],
            "SELECT service, deploys FROM deploys.deploys_per_week ORDER BY 1",
        )
        assert [(row["service"], row["deploys"]) for row in rows] == [("checkout", 1), ("checkout", 1), ("search", 1)]
    assert time.monotonic() - started_at < TEN_MINUTES


def test_code_that_is_shown_of_an_example_is_the_examples_own() -> None:
    shown = [block for block in BLOCKS if block.words.startswith("from=")]
    assert len(shown) == 2
    for block in shown:
        assert block.text in (ROOT / block.words.removeprefix("from=")).read_text("utf-8")


def test_version_2_of_the_tutorial_is_the_first_example() -> None:
    [tutorial] = (block.text for block in BLOCKS if block.words == "file=deploys.py")
    code = tutorial.split("    @on_event")[1]
    assert "@table" in tutorial
    assert code.split("(")[0] in (ROOT / "examples/projections/deploys.py").read_text("utf-8")


def test_a_block_knows_its_kind_and_words() -> None:
    assert blocks_of("a\n```sh background\nx\n```\n```\nnothing\n```\n```text\ny\n```\n") == [
        Block("sh", "background", "x\n"),
        Block("text", "", "y\n"),
    ]


def test_what_is_shown_and_was_not_printed_is_missing() -> None:
    printed = " week | n \n------+---\n 2026 | 12\n(1 row)"
    assert missing_lines(printed, "week | n\n2026 |  …") == []
    assert missing_lines(printed, "2026 | 13\n") == ["2026 | 13"]
