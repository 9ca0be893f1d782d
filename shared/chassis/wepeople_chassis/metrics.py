"""What every service measures, and how each defines metrics of its own (its `metrics.py`).

A metric is made once, at import, in the process's one registry. What happens on the way of a request is counted by
tallies (`tallies.py`), bound once; what is only looked at is measured when it is asked for (`Ops.measure`).
"""

import logging

from prometheus_client import Counter, Gauge, disable_created_metrics

disable_created_metrics()  # type: ignore[no-untyped-call]

QUICK_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets for what takes milliseconds and has a deadline of seconds."""

UNKNOWN = float("nan")
"""A gauge's value while what it is asked of is away: no alert compares with it, and no old value stands for a new."""

READY = Gauge("wepeople_ready", "1 while what the service needs answers, 0 while it does not.", ["check"])
LOG_LINES = Counter("wepeople_log_lines_total", "Lines in the log.", ["level"])


class LineCounter(logging.Handler):
    """Counts the log's lines by level; added to the root logger beside the handler that writes them."""

    def __init__(self) -> None:
        super().__init__()
        # At 0 from the start on: Prometheus takes no growth from a series that begins at 1, so that the first error of
        # a process would raise no alert.
        for level in ("info", "warning", "error", "critical"):
            LOG_LINES.labels(level)

    def emit(self, record: logging.LogRecord) -> None:
        """Count one."""
        LOG_LINES.labels(record.levelname.lower()).inc()
