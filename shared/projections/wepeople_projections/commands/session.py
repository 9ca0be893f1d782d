"""What all commands have in common: how they begin, how they end, and as whom they ask Postgres."""

import gc
import logging
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import psycopg
import structlog
import uvloop
from psycopg import AsyncConnection
from psycopg_pool import PoolTimeout

from wepeople_chassis.operator import Operator, fail, run, stderr
from wepeople_chassis.postgres import own_names_only
from wepeople_chassis.stream import StreamError
from wepeople_projections.commands.load import built_in_sources
from wepeople_projections.commands.notices import Notices
from wepeople_projections.commands.troubles import postgres_trouble
from wepeople_projections.errors import ProjectionError

CONNECT_SECONDS = 3
INTERRUPTED = 130
YOUNG_OBJECTS = 100_000
"""New objects that the garbage collector lets pass before it looks: more than a batch makes, which has no cycles."""

Work = Callable[[Operator], Coroutine[Any, Any, None]]


def command(work: Work) -> None:
    """Run a short command; what went wrong is one sentence, with exit code 1."""
    run(lambda operator: _explained(operator, work))


def long_command(work: Work, *, resume: str) -> None:
    """Run long work on a fast loop; after Ctrl-C, `resume` says how it goes on, and the exit code is 130."""
    structlog.configure(processors=[structlog.stdlib.add_log_level, Notices(stderr)])
    for library in ("nats", "psycopg"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    try:
        run(lambda operator: _explained(operator, work), runner=uvloop.run)
    except KeyboardInterrupt:
        stderr.print(f"Interrupted. {resume}", markup=False, highlight=False)
        raise SystemExit(INTERRUPTED) from None


def owner_dsn(operator: Operator, name: str) -> str:
    """The DSN of the role that owns a projection's schemas; exit 2 with what to do when nobody said it."""
    built_in = name in built_in_sources()
    dsn = operator.projector_dsn if built_in else operator.analyst_dsn
    if dsn is None:
        variable, whose = ("PROJECTOR", "the built-in") if built_in else ("ANALYST", "analysts'")
        fail(
            f"The address by which {whose} projections are written is not known. Set WEPEOPLE_{variable}_DSN; "
            f"`wepeople up` leaves it in operator.json as {variable.lower()}_dsn."
        )
    return dsn


@asynccontextmanager
async def connection(dsn: str) -> AsyncIterator[AsyncConnection[Any]]:
    """One connection for a short question or decision, each statement a transaction of its own."""
    options = own_names_only(dsn)
    async with await AsyncConnection.connect(
        dsn, autocommit=True, connect_timeout=CONNECT_SECONDS, options=options
    ) as connected:
        yield connected


async def _explained(operator: Operator, work: Work) -> None:
    try:
        await work(operator)
    except ProjectionError as error:
        fail(_sentence(str(error)), 1)
    except StreamError as error:
        fail(_sentence(f"The stream cannot be read: {error}"), 1)
    except (psycopg.Error, PoolTimeout) as error:
        fail(postgres_trouble(error), 1)


def _sentence(text: str) -> str:
    """With its full stop. It is never capitalised: it may begin with the name of a schema, a class or a file."""
    return text if text.endswith((".", "?", "!")) else f"{text}."
