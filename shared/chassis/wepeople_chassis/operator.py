"""What the command line knows of the running system, and how it prints: tables for people, JSON for machines."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, NoReturn

import typer
from nats.aio.client import Client
from pydantic import BaseModel, Field
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from wepeople_chassis.broker import BROKER_DOWN, NatsAddress, connect, is_forbidden, user_of_seed
from wepeople_chassis.logging import without_secrets
from wepeople_chassis.nats_settings import checked_authority, checked_servers, refuse_plaintext
from wepeople_chassis.rpc import Refused, Unavailable
from wepeople_chassis.stream import NobodyTakes

PIPE_COLUMNS = 1_000

stdout = Console(soft_wrap=True, width=None if sys.stdout.isatty() else PIPE_COLUMNS)
stderr = Console(stderr=True, soft_wrap=True)


class Operator(BaseModel):
    """Addresses for an operator: from `WEPEOPLE_NATS_URL`, `WEPEOPLE_POSTGRES_DSN` and so on, else from the file
    `operator.json` that `wepeople up` leaves in its state directory (`WEPEOPLE_STATE_DIR`, default `.wepeople`).

    `postgres_dsn` reads all read models, at `read_replica` first if there is one; `analyst_dsn` and `projector_dsn` own
    the projections of files and the built-in ones, and not every operator has them.
    """

    nats_url: str
    nats_seed: str | None = Field(default=None, repr=False)
    nats_ca_file: Path | None = None
    nats_plaintext: bool = False
    postgres_dsn: str = Field(repr=False)
    read_replica: str | None = None
    analyst_dsn: str | None = Field(default=None, repr=False)
    projector_dsn: str | None = Field(default=None, repr=False)
    ops_host: str = "127.0.0.1"
    ops_port: int | None = Field(default=None, ge=0, le=65_535)
    trimmer_seed: str | None = Field(default=None, repr=False)
    archive_url: str | None = None

    @property
    def nats(self) -> NatsAddress:
        """Where NATS is, and who the operator is there."""
        return NatsAddress(self.nats_url, self.nats_seed, self.nats_ca_file)


def load_operator() -> Operator:
    """Find the running system; exit 2 with what to do when there is nothing to find."""
    environment = {k: v for k in Operator.model_fields if (v := os.environ.get(f"WEPEOPLE_{k.upper()}"))}
    state_file = Path(os.environ.get("WEPEOPLE_STATE_DIR", ".wepeople")) / "operator.json"
    values: dict[str, str] = json.loads(state_file.read_text()) if state_file.exists() else {}
    for name in ("postgres_dsn", "analyst_dsn", "projector_dsn"):
        if address := (values | environment).get(name):
            _check_address(name, address)
    if not environment.get("ops_port", "0").isdecimal():
        fail("WEPEOPLE_OPS_PORT: not the number of a port")
    try:
        operator = Operator(**(values | environment))
    except ValueError:
        fail(
            f"No running system found: neither {state_file} nor WEPEOPLE_NATS_URL and WEPEOPLE_POSTGRES_DSN. "
            "Start one with `make up`, or set both variables."
        )
    _check_nats(operator)
    if operator.archive_url:
        # Where whoever reads the stream looks for it, when the stream turns out not to reach back far enough.
        os.environ.setdefault("WEPEOPLE_ARCHIVE_URL", operator.archive_url)
    return operator


def _check_nats(operator: Operator) -> None:
    """What a service would refuse to start with, a command does not send its operator's commands over either."""
    checks: dict[str, Callable[[], object]] = {
        "WEPEOPLE_NATS_URL: ": lambda: checked_servers(operator.nats_url),
        "WEPEOPLE_NATS_CA_FILE: ": lambda: checked_authority(operator.nats_ca_file),
        "WEPEOPLE_NATS_SEED: ": lambda: operator.nats_seed and user_of_seed(operator.nats_seed),
        "": lambda: refuse_plaintext(operator.nats_url, allowed=operator.nats_plaintext),
    }
    for of_what, check in checks.items():
        try:
            check()
        except ValueError as error:
            fail(f"{of_what}{error}")


def _check_address(name: str, address: str) -> None:
    # The driver is not among what the command line itself needs.
    from wepeople_chassis.postgres_address import checked_address  # noqa: PLC0415

    try:
        checked_address(address)
    except ValueError as error:
        fail(f"WEPEOPLE_{name.upper()}: {error}")


def fail(message: str, code: int = 2) -> NoReturn:
    """End the command with a message in plain words, in which no secret is repeated that was typed by mistake."""
    stderr.print(without_secrets(message), style="red", markup=False, highlight=False)
    raise typer.Exit(code)


@asynccontextmanager
async def operator_connection(operator: Operator) -> AsyncIterator[Client]:
    """A short connection to NATS for one command; it logs nothing, because stdout is the command's."""

    async def quiet(error: Exception) -> None:
        if is_forbidden(error):
            stderr.print(f"NATS does not let this user do that ({error}). Is it an operator's WEPEOPLE_NATS_SEED?")

    options: dict[str, Any] = {"allow_reconnect": False, "disconnected_cb": None, "closed_cb": None, "error_cb": quiet}
    connection = await connect(operator.nats, "wepeople-cli", max_reconnect_attempts=1, **options)
    try:
        yield connection
    finally:
        await connection.close()


def run(
    work: Callable[[Operator], Coroutine[Any, Any, None]],
    *,
    runner: Callable[[Coroutine[Any, Any, None]], None] = asyncio.run,
) -> None:
    """Run a command's coroutine; what went wrong is said in one sentence, with exit code 1. `runner` runs the loop."""
    operator = load_operator()
    try:
        runner(work(operator))
    except Refused as refused:
        fail(refused.error.message, 1)
    except Unavailable as unavailable:
        fail(f"The service behind {unavailable.subject} does not answer. Is it running?", 1)
    except NobodyTakes as error:
        fail(f"{error}.", 1)
    except BROKER_DOWN as error:
        reason = str(error) or "no answer in time"
        fail(f"NATS does not answer at {operator.nats_url}: {reason}. Is the system running?", 1)


def show(
    rows: Sequence[BaseModel | dict[str, Any]],
    *,
    columns: Sequence[str],
    as_json: bool,
    empty: str = "Nothing here yet.",
) -> None:
    """Print rows: all their fields as a JSON array, or the given columns as a table."""
    values = [r.model_dump(mode="json") if isinstance(r, BaseModel) else r for r in rows]
    if as_json:
        print(json.dumps(values, indent=2, ensure_ascii=False, default=str))
        return
    if not values:
        stdout.print(empty)
        return
    # Ids are there to be copied: a cell is folded, never cut, and a pipe has all the room it wants.
    # It is data, so square brackets in it are not markup.
    table = Table(*(Column(column, overflow="fold") for column in columns))
    for value in values:
        table.add_row(*(Text(_cell(value.get(column))) for column in columns))
    stdout.print(table)


def _cell(value: Any) -> str:
    if value is None:
        return "-"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
