"""Messages as released versions stored them, byte for byte, and what they say.

One folder for each version, whose files are never edited: bytes of a released version lie in streams. A release that
raises a version adds a folder. The numbers are the sequences of one org's history.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from msgspec import Struct

from wepeople_contracts.directory import FACT_VERSION, DirectoryFact, decode_fact, encode_fact
from wepeople_contracts.envelope import ENVELOPE_VERSION, Envelope, decode, decode_head, decode_outline, encode
from wepeople_contracts.subjects import parse_ingest_subject

GOLDEN = Path(__file__).with_name("golden")
VERSIONS = sorted(GOLDEN.iterdir())
MESSAGES = sorted(GOLDEN.glob("*/*.bin"))


def sums(folder: Path) -> dict[str, str]:
    """What SHA256SUMS says, as `sha256sum` writes it."""
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    return {name: digest for digest, name in (line.split("  ") for line in lines)}


def said(path: Path) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(path.with_suffix(".json").read_text("utf-8"))
    return told


def read(path: Path) -> Envelope | DirectoryFact:
    data, kind = path.read_bytes(), parse_ingest_subject(said(path)["subject"]).kind
    return decode_fact(data) if kind == "directory" else decode(data)


def differs(value: Any, told: Any, where: str = "message") -> list[str]:
    """Where a value is not as told. Fields that a later release added are not told."""
    if isinstance(value, Struct):
        [(name, fields)] = told.items()
        wrong = [] if name == type(value).__name__ else [f"{where} is a {type(value).__name__}, not a {name}"]
        return wrong + [
            w for field in fields for w in differs(getattr(value, field), fields[field], f"{where}.{field}")
        ]
    if isinstance(value, list):
        wrong = [] if len(value) == len(told) else [f"{where} has {len(value)} entries, not {len(told)}"]
        return wrong + [
            w for i, (a, b) in enumerate(zip(value, told, strict=False)) for w in differs(a, b, f"{where}[{i}]")
        ]
    if isinstance(value, bytes):
        told = told["utf-8"].encode() if "utf-8" in told else bytes.fromhex(told["hex"])
    return [] if value == told else [f"{where} is {value!r}, not {told!r}"]


@pytest.mark.parametrize("folder", VERSIONS, ids=lambda folder: folder.name)
def test_no_golden_file_was_edited_added_or_removed(folder: Path) -> None:
    found = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}
    found.pop("SHA256SUMS")
    assert found == sums(folder)


def test_there_are_golden_messages_of_every_version() -> None:
    newest = max(ENVELOPE_VERSION, FACT_VERSION)
    assert [folder.name for folder in VERSIONS] == [f"v{version}" for version in range(1, newest + 1)]
    kinds = {parse_ingest_subject(said(path)["subject"]).kind for path in MESSAGES}
    assert kinds == {"events", "snapshot", "directory"}
    types = {next(iter(said(path)["message"])) for path in MESSAGES}
    assert types == {"Envelope", *(fact.__name__ for fact in DirectoryFact.__args__)}


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.stem)
def test_a_golden_message_decodes_to_what_it_says(path: Path) -> None:
    assert differs(read(path), said(path)["message"]) == []


@pytest.mark.parametrize("path", MESSAGES, ids=lambda path: path.stem)
def test_a_golden_message_says_the_same_once_it_is_stored_again(path: Path) -> None:
    message = read(path)
    if isinstance(message, Envelope):
        assert decode(encode(message)) == message
        head = decode_head(path.read_bytes())
        assert all(getattr(head, name) == getattr(message, name) for name in head.__struct_fields__)
        outline = decode_outline(path.read_bytes())
        assert outline.accepted_count == len(message.accepted)
        rest = set(outline.__struct_fields__) - {"accepted"}
        assert all(getattr(outline, name) == getattr(message, name) for name in rest)
    else:
        assert decode_fact(encode_fact(message)) == message
