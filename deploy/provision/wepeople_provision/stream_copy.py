"""Copies of the streams, a directory for each, in the form of NATS' own command line: a JSON file and a tar file."""

import hashlib
import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from nats.aio.client import Client
from nats.errors import TimeoutError as NatsTimeoutError

from wepeople_chassis.stream import IDENTITY
from wepeople_contracts.subjects import STREAMS
from wepeople_provision.copy_digest import check, seal
from wepeople_provision.errors import ProvisionError
from wepeople_provision.stream_api import ask, own_metadata, streams_there
from wepeople_provision.stream_split import unfinished

CHUNK_BYTES = 128 * 1024
_CHUNK_SECONDS = 60.0
_RESTORED_SECONDS = 600.0
_DESCRIPTION, _CONTENT = "backup.json", "stream.tar.s2"
_SENT_ALL = "204"
"""So ends a copy of more than one chunk; a smaller one ends without a status."""


@dataclass(frozen=True, slots=True)
class Extent:
    """What a stream holds."""

    name: str
    first_sequence: int
    last_sequence: int
    messages: int
    first_time: str = field(compare=False)
    last_time: str = field(compare=False)

    def __str__(self) -> str:
        return f"{self.name}: {self.messages} messages, sequences {self.first_sequence} to {self.last_sequence}"

    def is_beginning_of(self, copied: "Extent") -> bool:
        """Whether all that it holds can be in the copy. One that was made anew after the copy has later messages."""
        if self.last_sequence == copied.last_sequence and self.last_time != copied.last_time:
            return False
        if self.last_sequence > copied.last_sequence or self.last_time > copied.last_time:
            return False
        same_first = (self.first_sequence, self.first_time) == (copied.first_sequence, copied.first_time)
        trimmed_since = self.first_sequence > copied.first_sequence and self.first_time >= copied.first_time
        return not self.messages or same_first or trimmed_since


async def backup(connection: Client, directory: Path) -> list[Extent]:
    """Copy each stream as it stands, without its readers, and read it back; what was copied. Requests go on meanwhile.

    `ProvisionError` when there is something in the directory already, while a stream is being split, or when the server
    breaks off.
    """
    there = await streams_there(connection)
    _require_streams(there)
    _require_empty(directory)
    copied = [await _copy(connection, name, directory / name) for name in there]
    if (await streams_there(connection)).keys() != there.keys():
        raise ProvisionError(f"A stream was split meanwhile; {directory} is of no use. Run this again.")
    return copied


async def _copy(connection: Client, name: str, directory: Path) -> Extent:
    _require_empty(directory)
    inbox = connection.new_inbox()
    chunks = await connection.subscribe(inbox)
    request = {"deliver_subject": inbox, "no_consumers": True, "chunk_size": CHUNK_BYTES, "jsck": True}
    described = await ask(connection, "STREAM.SNAPSHOT", name, request)
    unfinished_file, sent = directory / f"{_CONTENT}.unfinished", hashlib.sha256()
    with unfinished_file.open("wb") as file:
        while True:
            try:
                chunk = await chunks.next_msg(timeout=_CHUNK_SECONDS)
            except NatsTimeoutError as error:
                raise ProvisionError(f"The server broke the backup off; {directory} is of no use.") from error
            if not chunk.data:
                _require_whole(chunk.headers, directory)
                break
            file.write(chunk.data)
            sent.update(chunk.data)
            if chunk.reply:
                await chunk.respond(b"")
    await chunks.unsubscribe()
    (directory / _DESCRIPTION).write_text(json.dumps({"config": described["config"], "state": described["state"]}))
    seal(unfinished_file.rename(directory / _CONTENT), sent.hexdigest())
    return _extent(name, described["state"])


def _require_streams(there: Mapping[str, dict[str, Any]]) -> None:
    if not there:
        raise ProvisionError("There is no stream to copy.")
    if begun := unfinished(there):
        raise ProvisionError(f"A split is not finished ({begun[0]}): run `wepeople stream split` first.")


def _require_empty(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if any(directory.iterdir()):
        raise ProvisionError(f"There is something in {directory} already; give an empty directory.")


@dataclass(frozen=True, slots=True)
class Copy:
    """One stream's copy, and where its content is."""

    described: dict[str, Any]
    content: Path

    @property
    def extent(self) -> Extent:
        """What it holds."""
        return _extent(self.described["config"]["name"], self.described["state"])


async def restore(connection: Client, directory: Path, *, replace: bool) -> list[Extent]:
    """Make the streams from their copies; what they hold then.

    `ProvisionError` when the directory has no copy, or when a stream is there that has messages: with `replace` it
    makes way if its copy has all that it has. All of that is looked at before anything is changed.
    """
    copies = _copies_in(directory)
    there = await streams_there(connection)
    _require_way({name: _extent(name, info["state"]) for name, info in there.items()}, copies, replace=replace)
    for name in there:
        await ask(connection, "STREAM.DELETE", name)
    return [await _restore(connection, copy) for copy in copies.values()]


def _copies_in(directory: Path) -> dict[str, Copy]:
    """By the stream's name. A copy of a release that had one stream is in the directory itself."""
    copies: dict[str, Copy] = {}
    try:
        for file in (*directory.glob(_DESCRIPTION), *sorted(directory.glob(f"*/{_DESCRIPTION}"))):
            copy = Copy(json.loads(file.read_text()), file.with_name(_CONTENT))
            check(copy.content)
            if (name := copy.extent.name) not in STREAMS or name in copies:
                raise ProvisionError(f"{file} is a copy of {name}, which is none of our streams, or is there twice.")
            copies[name] = copy
    except (OSError, ValueError, KeyError) as error:
        raise ProvisionError(f"The copy in {directory} cannot be read: {error}.") from error
    if not copies:
        raise ProvisionError(f"There is no copy of a stream in {directory}.")
    return copies


def _require_way(there: Mapping[str, Extent], copies: Mapping[str, Copy], *, replace: bool) -> None:
    for name, extent in there.items():
        last = copies[name].extent.last_sequence if name in copies else 0
        if extent.last_sequence > last:
            raise ProvisionError(
                f"The stream {name} that is there goes on to {extent.last_sequence}, the copy ends at {last}: what is "
                "behind it would be lost. Nothing was changed. If the stream that is there is of no use, let an "
                "operator of NATS delete it."
            )
        if extent.last_sequence and not extent.is_beginning_of(copies[name].extent):
            raise ProvisionError(
                f"The stream {name} that is there is not a beginning of the copy: it holds messages that the copy does "
                "not have, such as requests that were stored after the loss. Nothing was changed. If the stream that "
                "is there is of no use, let an operator of NATS delete it."
            )
        if extent.last_sequence and not replace:
            raise ProvisionError(
                f"There is a stream already ({extent}). Nothing was changed; --replace puts the copy there."
            )


async def _restore(connection: Client, copy: Copy) -> Extent:
    name = copy.extent.name
    reply = await ask(connection, "STREAM.RESTORE", name, _as_another(copy.described))
    with copy.content.open("rb") as content:
        for chunk in _chunks(content):
            await _send(connection, reply["deliver_subject"], chunk, _CHUNK_SECONDS)
    restored = await _send(connection, reply["deliver_subject"], b"", _RESTORED_SECONDS)
    return _extent(name, restored["state"])


def _as_another(described: Mapping[str, Any]) -> dict[str, Any]:
    """With an identity that no stream had: a copy may lack what was read before, and is another stream until `adopt`
    has compared. It goes with the request, so that at no moment anybody reads on in it as if it were the lost one; and
    in a cluster each server gives what it restored a time of creation of its own, which is none to tell it by.
    """
    identity = f"restored {datetime.now(UTC).isoformat()} {secrets.token_hex(4)}"
    metadata = own_metadata(described["config"]) | {IDENTITY: identity}
    return {**described, "config": described["config"] | {"metadata": metadata}}


def _chunks(content: BinaryIO) -> Iterator[bytes]:
    while chunk := content.read(CHUNK_BYTES):
        yield chunk


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
    if status not in (None, _SENT_ALL):
        raise ProvisionError(f"The server broke the backup off ({status}); {directory} is of no use.")


def _extent(name: str, state: Mapping[str, Any]) -> Extent:
    first, last = (state[which].removesuffix("Z") for which in ("first_ts", "last_ts"))
    return Extent(name, state["first_seq"], state["last_seq"], state["messages"], first, last)
