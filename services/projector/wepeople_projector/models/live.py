"""`live`: the read models that everybody reads, built together and swapped together."""

from collections.abc import Mapping
from typing import ClassVar

from wepeople_projections import Projection
from wepeople_projector.models.rejects import Rejects
from wepeople_projector.models.requests import Requests
from wepeople_projector.models.snapshots import LatestSnapshots
from wepeople_projector.models.timeline import Timeline
from wepeople_projector.models.workers import Workers


class Live(Projection):
    """Workers, timeline, latest snapshots, requests and rejects.

    The further views are what operators ask by: which version it is, which orgs there are, to whom an identifier is
    bound, from which day on a table has its rows, how far the tables are, and what could not be applied.
    """

    name = "live"
    version = 1
    parts = (Workers, Timeline, LatestSnapshots, Requests, Rejects)
    views: ClassVar[Mapping[str, str]] = {
        "about": "SELECT name, version, serving_since, created_at FROM {schema}.about",
        "orgs": "SELECT org_id, name, founded_at FROM {schema}.orgs",
        "identifiers": "SELECT org_id, kind, scope, value, worker_id FROM {schema}.identifiers",
        "kept": "SELECT table_name, kept_from, dropped_at FROM {schema}.kept",
        "checkpoint": "SELECT partition, stream_identity, sequence, moved_at FROM {schema}.checkpoint",
        "parked": "SELECT p.sequence, p.row_index, p.org_id, p.worker_id, p.status, p.reason, p.attempts, p.parked_at, "
        "p.resolved_at, m.subject, m.message_id, m.stored_at, m.data, p.partition "
        "FROM {schema}.parked p LEFT JOIN {schema}.parked_messages m USING (partition, sequence)",
    }
