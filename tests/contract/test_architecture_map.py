"""ARCHITECTURE.md names files that there are, and in its map of the projections every module of the package's root."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "ARCHITECTURE.md").read_text("utf-8")
PACKAGE = ROOT / "shared/projections/wepeople_projections"


def test_every_file_that_is_named_is_there() -> None:
    named = set(re.findall(r"`([a-z_/]+\.(?:py|sql))`", TEXT))
    there = [path.as_posix() for folder in ("shared", "services", "deploy") for path in (ROOT / folder).rglob("*.*")]
    assert len(named) > 50
    assert [name for name in sorted(named) if not any(path.endswith(f"/{name}") for path in there)] == []


def test_every_module_of_the_projections_root_is_in_the_map() -> None:
    modules = {path.name for path in PACKAGE.glob("*.py")} - {"__init__.py"}
    section = TEXT.split("## Projections, by what you look for")[1].split("## Invariants")[0]
    assert modules - set(re.findall(r"`([a-z_]+\.py)`", section)) == set()
