"""What a member needs, read from the members' own pyproject.toml files: `requirements.py packages|folders MEMBER …`.

`packages` prints the requirements of the members and of all members they stand on, without the members themselves;
`folders` prints where the members are, those others stand on first. Standard library only: it runs while an image is
built.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

PREFIX = "wepeople-"
_REQUIREMENT = re.compile(r"(?P<name>[A-Za-z0-9._-]+)(\[(?P<extras>[^\]]*)\])?")


def read_members(root: Path) -> dict[str, tuple[Path, dict[str, Any]]]:
    """The members below a folder by name: where each is, and what it says of itself."""
    found = {}
    for file in sorted(root.glob("*/*/pyproject.toml")):
        project = tomllib.loads(file.read_text())["project"]
        found[project["name"]] = (file.parent, project)
    return found


def walk(members: dict[str, tuple[Path, dict[str, Any]]], requirements: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What the requirements lead to, depth first: (`package`, requirement) and (`folder`, path), some of them twice."""
    for requirement in requirements:
        match = _REQUIREMENT.match(requirement)
        if match is None:
            raise SystemExit(f"{requirement!r} is no requirement.")
        name = match["name"]
        if not name.startswith(PREFIX):
            yield "package", requirement
            continue
        if name not in members:
            raise SystemExit(f"There is no member {name}; there are {', '.join(sorted(members))}.")
        folder, project = members[name]
        extras = [extra.strip() for extra in (match["extras"] or "").split(",") if extra.strip()]
        optional = project.get("optional-dependencies", {})
        yield from walk(members, [*project["dependencies"], *(line for extra in extras for line in optional[extra])])
        yield "folder", str(folder)


def main(arguments: Sequence[str]) -> None:
    """Print one a line, each once."""
    what, *names = arguments
    kind = {"packages": "package", "folders": "folder"}[what]
    found = walk(read_members(Path()), [PREFIX + name for name in names])
    print("\n".join(dict.fromkeys(value for of, value in found if of == kind)))


if __name__ == "__main__":
    main(sys.argv[1:])
