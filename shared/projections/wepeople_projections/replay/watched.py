"""The ops port of a projection that its owner runs, for whatever keeps the process alive: `/healthz`, `/readyz` and
`/metrics`, where `WEPEOPLE_OPS_PORT` says so.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from prometheus_client import Gauge

from wepeople_chassis.operator import Operator
from wepeople_chassis.ops import Ops, nats_answers, stream_answers
from wepeople_chassis.postgres import database_answers
from wepeople_chassis.stream import takers
from wepeople_projections.definition.selection import Selection
from wepeople_projections.replay.backlog import backlog_of
from wepeople_projections.replay.building import SERVICE, Workplace
from wepeople_projections.versions.control import checkpoints, execute, sequences

LAG_MESSAGES = Gauge(
    "wepeople_own_projection_lag_messages", "Stored messages that it reads and has not applied yet.", ["schema"]
)
LAG_SECONDS = Gauge("wepeople_own_projection_lag_seconds", "Age of the oldest of them.", ["schema"])
ROWS = Gauge("wepeople_own_projection_rows", "Rows applied so far, by all processes that run it.", ["schema"])
PARKED = Gauge("wepeople_own_projection_parked", "Rows that it could not take, until somebody decides.", ["schema"])

_DECIDED = ("skipped", "applied")


@asynccontextmanager
async def watched(operator: Operator, place: Workplace, schema: str, selection: Selection) -> AsyncIterator[None]:
    """Answer while the work goes on, if a port is wanted; `SystemExit` when it is taken."""
    if operator.ops_port is None:
        yield
        return
    ops = Ops(SERVICE)
    ops.check("nats", nats_answers(place.stream))
    ops.check("jetstream", stream_answers(place.stream))
    ops.check("postgres", database_answers(place.pool))
    ops.measure(_Measuring(place, schema, selection).look, LAG_MESSAGES, LAG_SECONDS, ROWS, PARKED)
    await ops.listen(operator.ops_host, operator.ops_port)
    ops.works()
    try:
        yield
    finally:
        await ops.stop()


class _Measuring:
    """One version, over all of its partitions."""

    def __init__(self, place: Workplace, schema: str, selection: Selection) -> None:
        self._place = place
        self._schema = schema
        self._selection = selection

    async def look(self) -> None:
        """Set the gauges."""
        async with self._place.pool.connection() as connection:
            found = await checkpoints(connection, self._schema)
            aside = await execute(connection, "aside_by_status", self._schema)
        streams = await takers(self._place.stream)
        messages, seconds = await backlog_of(self._place.stream, sequences(found), streams, self._selection)
        LAG_MESSAGES.labels(self._schema).set(messages)
        LAG_SECONDS.labels(self._schema).set(seconds)
        ROWS.labels(self._schema).set(sum(line.rows for line in found.values()))
        PARKED.labels(self._schema).set(sum(line["rows"] for line in aside if line["status"] not in _DECIDED))
