"""What every service measures, and how each defines metrics of its own (its `metrics.py`).

A metric is made once, at import, in the process's one registry. Whoever counts on the way of a request holds a bound
child (`metric.labels(…)`, once); what is only looked at is measured when it is asked for (`Ops.measure`), never beside
the work.
"""

import logging
from collections.abc import Iterator
from types import ModuleType

from prometheus_client import Counter, Gauge, disable_created_metrics
from prometheus_client.metrics import MetricWrapperBase

disable_created_metrics()  # type: ignore[no-untyped-call]

QUICK_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Buckets for what takes milliseconds and has a deadline of seconds."""

UNKNOWN = float("nan")
"""A gauge's value while what it is asked of is away: no alert compares with it, and no old value stands for a new."""

READY = Gauge("wepeople_ready", "1 while what the service needs answers, 0 while it does not.", ["check"])
LOG_LINES = Counter("wepeople_log_lines_total", "Lines in the log.", ["level"])


class LineCounter(logging.Handler):
    """Counts the log's lines by level; added to the root logger beside the handler that writes them."""

    def emit(self, record: logging.LogRecord) -> None:
        """Count one."""
        LOG_LINES.labels(record.levelname.lower()).inc()


def metrics_of(module: ModuleType) -> Iterator[MetricWrapperBase]:
    """The metrics that a module defines, in order: its constants. What is bound of them has names in lower case."""
    return (value for name, value in vars(module).items() if name.isupper() and isinstance(value, MetricWrapperBase))
