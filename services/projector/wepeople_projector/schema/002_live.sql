-- The read interface: what anybody may rely on.
CREATE SCHEMA live;

CREATE TABLE live.reader_orgs (
    role_name name             NOT NULL,
    org_id    text COLLATE "C" NOT NULL,
    PRIMARY KEY (role_name, org_id)
);
COMMENT ON TABLE live.reader_orgs IS
    'Which orgs a database role that is a member of wepeople_reader sees; a role with no line here sees none.';

-- security_invoker: the row policies of the tables are those of whoever asks, not of the views' owner.
CREATE VIEW live.workers WITH (security_invoker = true) AS
SELECT org_id, worker_id, name, emails, external_ids, connections, in_directory, first_seen_at
FROM live_v1.workers;

COMMENT ON VIEW live.workers IS 'Everybody an org has heard of: from its directory, or provisioned by the first event that named them.';
COMMENT ON COLUMN live.workers.worker_id IS 'Derived from the identifier the worker was first seen with; the same in every rebuild.';
COMMENT ON COLUMN live.workers.name IS 'From the org''s directory; NULL until an import brings one.';
COMMENT ON COLUMN live.workers.emails IS 'Trimmed and case-folded, in the order first seen.';
COMMENT ON COLUMN live.workers.external_ids IS 'Ids that the org''s apps know the worker by, in the order first seen; each is its app''s own.';
COMMENT ON COLUMN live.workers.connections IS 'custom:<slug> of every app that has sent something about the worker, in the order first seen.';
COMMENT ON COLUMN live.workers.in_directory IS 'Whether a directory import named the worker.';
COMMENT ON COLUMN live.workers.first_seen_at IS 'When the message that brought the worker into being was received.';

CREATE VIEW live.timeline WITH (security_invoker = true) AS
SELECT event_id, request_id, row_index, sequence, org_id, worker_id, app_id, connection, event_type, category,
       occurred_at, received_at, duration, metadata, metadata_raw
FROM live_v1.timeline;

COMMENT ON VIEW live.timeline IS 'Every accepted event, once. Read a worker''s by (org_id, worker_id) and occurred_at, newest first.';
COMMENT ON COLUMN live.timeline.event_id IS 'As the API answered it; ordered by time of receipt.';
COMMENT ON COLUMN live.timeline.request_id IS 'The request that brought the event, as in X-Request-Id.';
COMMENT ON COLUMN live.timeline.row_index IS 'The event''s place in its request, from 0.';
COMMENT ON COLUMN live.timeline.sequence IS 'The request''s position in the stream.';
COMMENT ON COLUMN live.timeline.connection IS 'custom:<slug> of the app.';
COMMENT ON COLUMN live.timeline.occurred_at IS 'The event''s own timestamp; when it had none, the time of receipt.';
COMMENT ON COLUMN live.timeline.received_at IS 'When the gateway received the request.';
COMMENT ON COLUMN live.timeline.duration IS 'Seconds.';
COMMENT ON COLUMN live.timeline.metadata IS 'For queries. Of duplicate keys the last is kept and keys are reordered; NULL when absent, or when JSONB cannot hold it.';
COMMENT ON COLUMN live.timeline.metadata_raw IS 'Byte for byte what was sent; NULL when absent.';

CREATE VIEW live.latest_snapshots WITH (security_invoker = true) AS
SELECT org_id, worker_id, connection, snapshot_type, metrics, observed_at, received_at, request_id, event_id, app_id,
       sequence
FROM live_v1.latest_snapshots;

COMMENT ON VIEW live.latest_snapshots IS 'The newest snapshot of each type that each app has sent of each worker.';
COMMENT ON COLUMN live.latest_snapshots.metrics IS 'As received, in the order received (json, not jsonb): the strip shows the first four.';
COMMENT ON COLUMN live.latest_snapshots.observed_at IS 'The snapshot''s timestamp, or the time of receipt if that was earlier; the newest wins.';
COMMENT ON COLUMN live.latest_snapshots.sequence IS 'The request''s position in the stream; decides between equal observed_at.';
