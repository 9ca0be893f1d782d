"""A copy of the stream in a directory, in the form of NATS' own command line: `backup.json` and `stream.tar.s2`.

Spoken to directly, by `$JS.API` subjects, because nats-py has no such calls.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError

from wepeople_contracts.subjects import STREAMS
from wepeople_provision.errors import ProvisionError

CHUNK_BYTES = 128 * 1024
_API_SECONDS = 10.0
_CHUNK_SECONDS = 60.0
_RESTORED_SECONDS = 600.0
_NOT_FOUND = 10059


@dataclass(frozen=True, slots=True)
class Extent:
    """What a stream holds; `created` is its identity, to which the services' checkpoints belong."""

    created: str
    first_sequence: int
    last_sequence: int
    messages: int

    def __str__(self) -> str:
        return f"{self.messages} messages, sequences {self.first_sequence} to {self.last_sequence}"


async def backup(connection: Client, directory: Path) -> Extent:
    """Copy the stream as it stands, without its readers; what was copied. Requests go on meanwhile.

    `ProvisionError` when there is something in the directory already, or when the server breaks off.
    """
    _require_empty(directory)
    inbox = connection.new_inbox()
    chunks = await connection.subscribe(inbox)
    request = {"deliver_subject": inbox, "no_consumers": True, "chunk_size": CHUNK_BYTES, "jsck": True}
    described = await _api(connection, "SNAPSHOT", request)
    unfinished = directory / "stream.tar.s2.unfinished"
    with unfinished.open("wb") as file:
        while True:
            try:
                chunk = await chunks.next_msg(timeout=_CHUNK_SECONDS)
            except NatsTimeoutError as error:
                raise ProvisionError(f"The server broke the backup off; {directory} is of no use.") from error
            if not chunk.data:
                _require_whole(chunk.headers, directory)
                break
            file.write(chunk.data)
            if chunk.reply:
                await chunk.respond(b"")
    await chunks.unsubscribe()
    (directory / "backup.json").write_text(json.dumps({"config": described["config"], "state": described["state"]}))
    unfinished.rename(directory / "stream.tar.s2")
    return _extent(await _api(connection, "INFO", None), described["state"])


def _require_empty(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise ProvisionError(f"There is something in {directory} already; give an empty directory.")


async def restore(connection: Client, directory: Path, *, replace: bool) -> Extent:
    """Make the stream from a copy; what it holds then.

    `ProvisionError` when the directory has no copy, or when a stream is there that has messages: with `replace` it
    makes way if the copy has all that it has.
    """
    try:
        described = json.loads((directory / "backup.json").read_text())
        content = (directory / "stream.tar.s2").open("rb")
    except (OSError, ValueError) as error:
        raise ProvisionError(f"There is no copy of a stream in {directory}: {error}.") from error
    with content:
        await _make_way(connection, described["state"]["last_seq"], replace=replace)
        reply = await _api(connection, "RESTORE", described)
        for chunk in _chunks(content):
            await _send(connection, reply["deliver_subject"], chunk, _CHUNK_SECONDS)
        restored = await _send(connection, reply["deliver_subject"], b"", _RESTORED_SECONDS)
    return _extent(restored, restored["state"])


def _chunks(content: Any) -> Iterator[bytes]:
    while chunk := content.read(CHUNK_BYTES):
        yield chunk


async def _make_way(connection: Client, last_of_copy: int, *, replace: bool) -> None:
    info = await _api(connection, "INFO", None, may_be_missing=True)
    if not info:
        return
    there = _extent(info, info["state"])
    if there.last_sequence > last_of_copy:
        raise ProvisionError(
            f"The stream that is there goes on to {there.last_sequence}, the copy ends at {last_of_copy}: what is "
            "behind it would be lost. Nothing was changed. If the stream that is there is of no use, let an "
            "operator of NATS delete it."
        )
    if there.last_sequence and not replace:
        raise ProvisionError(
            f"There is a stream already ({there}). Nothing was changed; --replace puts the copy there."
        )
    await _api(connection, "DELETE", None)


async def _send(connection: Client, subject: str, chunk: bytes, seconds: float) -> dict[str, Any]:
    try:
        message = await connection.request(subject, chunk, timeout=seconds)
    except NatsTimeoutError as error:
        raise ProvisionError("The server broke the restore off. Run it again with --replace.") from error
    reply: dict[str, Any] = json.loads(message.data or b"{}")
    if refused := reply.get("error"):
        raise ProvisionError(f"NATS refused the copy: {refused.get('description')}.")
    return reply


def _require_whole(headers: dict[str, str] | None, directory: Path) -> None:
    status = (headers or {}).get("Status") or (headers or {}).get("Description")
    if status:
        raise ProvisionError(f"The server broke the backup off ({status}); {directory} is of no use.")


def _extent(info: dict[str, Any], state: dict[str, Any]) -> Extent:
    return Extent(info["created"], state["first_seq"], state["last_seq"], state["messages"])


async def _api(
    connection: Client, verb: str, body: dict[str, Any] | None, *, may_be_missing: bool = False
) -> dict[str, Any]:
    payload = b"" if body is None else json.dumps(body).encode()
    message = await connection.request(f"$JS.API.STREAM.{verb}.{STREAMS[0]}", payload, timeout=_API_SECONDS)
    reply: dict[str, Any] = json.loads(message.data)
    if error := reply.get("error"):
        if may_be_missing and error.get("err_code") == _NOT_FOUND:
            return {}
        raise ProvisionError(f"NATS refused to {verb.lower()} the stream {STREAMS[0]}: {error.get('description')}.")
    return reply
