"""What the projector measures. What is of the whole projection is the same in each of several processes, so that a
partition which nobody works on shows: aggregate it with `max`, never with `sum`.
"""

from prometheus_client import Counter, Gauge

from wepeople_chassis.metrics import UNKNOWN

ROWS = Counter("wepeople_projection_rows_total", "Rows applied by this process.")
LAG_MESSAGES = Gauge(
    "wepeople_projection_lag_messages", "Stored messages that are not in the read models yet, of all partitions."
)
LAG_SECONDS = Gauge("wepeople_projection_lag_seconds", "Age of the oldest message that is not in the read models yet.")
PARKED = Gauge("wepeople_projection_parked", "Rows that the read models could not take, until somebody decides.")
STREAM_MESSAGES = Gauge("wepeople_stream_messages", "Messages that a stream holds.", ["stream"])
STREAM_BYTES = Gauge("wepeople_stream_bytes", "Bytes that a stream holds, on each of its copies.", ["stream"])
STREAM_LIMIT_BYTES = Gauge(
    "wepeople_stream_limit_bytes",
    "A stream's max_bytes, past which nothing more is stored; +Inf without one.",
    ["stream"],
)
DATABASE_BYTES = Gauge("wepeople_database_bytes", "Size of the database, all schemas together.")
OVERDUE_MONTHS = Gauge(
    "wepeople_retention_overdue_months",
    "Months that are older than the timeline is kept, and still there: somebody's long query holds them.",
)

LAG = (LAG_MESSAGES, LAG_SECONDS)
STREAM = (STREAM_MESSAGES, STREAM_BYTES, STREAM_LIMIT_BYTES)
DATABASE = (PARKED, DATABASE_BYTES)

for _gauge in (*LAG, *DATABASE, OVERDUE_MONTHS):
    _gauge.set(UNKNOWN)
