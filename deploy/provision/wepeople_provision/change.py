"""What a provisioner would change, said before it is done."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Literal

Part = Literal["role", "database", "schema", "stream"]
Verb = Literal["create", "set", "run", "wait"]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that is not as it should be; `refused` says why it cannot be mended in place, and what to do."""

    part: Part
    name: str
    verb: Verb
    what: str = ""
    refused: str = ""

    def __str__(self) -> str:
        words = f"{self.part} {self.name}: {self.verb}{f' {self.what}' if self.what else ''}"
        return f"{words}\n  refused: {self.refused}" if self.refused else words


def as_text(changes: Sequence[Change]) -> str:
    """For people: a line for each change."""
    return "\n".join(map(str, changes)) if changes else "Nothing to change."


def as_json(changes: Sequence[Change]) -> str:
    """For scripts: `{"changes": [{"part", "name", "verb", "what", "refused"}, …]}`."""
    return json.dumps({"changes": [asdict(change) for change in changes]}, indent=2)
