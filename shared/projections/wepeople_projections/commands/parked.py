"""`wepeople projection parked …`: what could not be taken, and what becomes of it."""

import base64
import json
from typing import Any

import msgspec

from wepeople_chassis.operator import Operator, fail, show, stdout
from wepeople_contracts.directory import decode_fact
from wepeople_contracts.envelope import decode
from wepeople_contracts.subjects import parse_ingest_subject
from wepeople_projections.commands.session import command, connection
from wepeople_projections.commands.targets import find_target
from wepeople_projections.versions.control import execute

LIST_COLUMNS = ("sequence", "row", "status", "org_id", "worker_id", "reason", "attempts", "parked_at")

Line = dict[str, Any]


def list_parked(name: str, every: bool, limit: int, as_json: bool) -> None:
    """What is parked of a version."""

    async def work(operator: Operator) -> None:
        async with connection(operator.postgres_dsn) as reading:
            target = await find_target(reading, name, None)
            found = await execute(reading, "parked", target.schema, every=every, limit=limit)
        lines = [plain(line) for line in found]
        if not as_json:
            lines = [line | {"reason": last_line(line["reason"]), "row": _row(line["row"])} for line in lines]
        show(lines, columns=LIST_COLUMNS, as_json=as_json, empty=f"Nothing is parked of {target.schema}.")

    command(work)


def show_parked(name: str, sequence: int, row: int | None, org: str | None, as_json: bool) -> None:
    """One parked message."""

    async def work(operator: Operator) -> None:
        async with connection(operator.postgres_dsn) as reading:
            target = await find_target(reading, name, None)
            found = await execute(reading, "parked_of_message", target.schema, sequence=sequence, row=row, org=org)
        if not found:
            fail(f"Nothing is parked of message {sequence} in {target.schema}.", 1)
        if several := several_orgs(found):
            fail(several)
        message = {key: plain(found[0])[key] for key in ("sequence", "subject", "message_id", "stored_at")}
        message |= {"content": _content(found[0]["subject"], bytes(found[0]["data"]))}
        rows = [{k: v for k, v in plain(line).items() if k not in (*message, "data")} for line in found]
        if as_json:
            print(json.dumps(message | {"rows": rows}, indent=2, ensure_ascii=False))
            return
        for line in rows:
            stdout.print(f"{_row(line['row'])}: {line['status']}, {line['attempts']} attempt(s)", style="bold")
            stdout.print(str(line["reason"]).strip(), markup=False, highlight=False)
        stdout.print("the message, as it was stored:", style="bold")
        print(json.dumps(message, indent=2, ensure_ascii=False))

    command(work)


def several_orgs(found: list[Line]) -> str:
    """What to say where a sequence means messages of several orgs: each stream numbers its own."""
    orgs = {line["org_id"] for line in found} if len({line["partition"] for line in found}) > 1 else set()
    return f"That message is of several orgs; say which with --org: {', '.join(sorted(orgs))}." if orgs else ""


def _content(subject: str, data: bytes) -> Any:
    """A message's content as JSON can show it; base64 of what cannot be read."""
    try:
        content = decode_fact(data) if parse_ingest_subject(subject).kind == "directory" else decode(data)
    except ValueError:
        return {"base64": base64.b64encode(data).decode()}
    values: dict[str, Any] = _shown(content)
    values.pop("salt", None)  # by which an org's worker ids could be guessed
    return values


def _shown(value: Any) -> Any:
    match value:
        case msgspec.Struct():
            return {name: _shown(inner) for name, inner in msgspec.structs.asdict(value).items()}
        case list():
            return [_shown(inner) for inner in value]
        case bytes():
            return _text(value)
    return value


def _text(data: bytes) -> Any:
    """A row is JSON mostly, and shown as such; other bytes as text, or as hex."""
    try:
        return json.loads(data)
    except ValueError:
        try:
            return data.decode()
        except UnicodeDecodeError:
            return data.hex()


def plain(line: Line) -> Line:
    """A line as JSON can have it."""
    return {name: value.isoformat() if hasattr(value, "isoformat") else value for name, value in line.items()}


def _row(index: int) -> str:
    return "all" if index < 0 else str(index)


def last_line(reason: str) -> str:
    """What a reason comes to: the last line of a traceback."""
    return (reason.strip().splitlines() or [""])[-1]
