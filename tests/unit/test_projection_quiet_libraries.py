"""What libraries log while long work is run is not for the person who runs it."""

import gc
import logging
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from wepeople_projections.commands import session

LOGGERS = ("nats", "psycopg", "psycopg.pool", "psycopg.transaction")


@pytest.fixture(autouse=True)
def process_as_before() -> Iterator[None]:
    levels = {name: logging.getLogger(name).level for name in LOGGERS}
    threshold, config = gc.get_threshold(), structlog.get_config()
    yield
    structlog.configure(**config)
    gc.unfreeze()
    gc.set_threshold(*threshold)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)


@pytest.mark.parametrize("library", LOGGERS)
def test_what_a_library_warns_of_does_not_reach_the_terminal(
    library: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def warn(*_: Any, **__: Any) -> None:
        # As psycopg does when Ctrl-C comes while it cancels a query.
        logging.getLogger(library).warning("query cancellation interrupted (%s): closing connection", "CancelledError")

    async def work(_: object) -> None:
        """Nothing: `warn` runs in its place."""

    monkeypatch.setattr(session, "run", warn)
    session.long_command(work, resume="")
    assert caplog.records == []
