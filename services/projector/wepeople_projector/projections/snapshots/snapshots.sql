-- name: upsert
INSERT INTO live_v1.latest_snapshots AS kept (org_id, worker_id, connection, snapshot_type, app_id, event_id,
                                              request_id, sequence, observed_at, received_at, metrics)
SELECT org_id, worker_id, connection, snapshot_type, app_id, event_id, request_id, sequence, observed_at, received_at,
       metrics::json
FROM json_to_recordset(%s::json)
     AS s(org_id text, worker_id text, connection text, snapshot_type text, app_id text, event_id text,
          request_id text, sequence bigint, observed_at timestamptz, received_at timestamptz, metrics text)
ON CONFLICT (org_id, worker_id, connection, snapshot_type) DO UPDATE
SET app_id = excluded.app_id, event_id = excluded.event_id, request_id = excluded.request_id,
    sequence = excluded.sequence, observed_at = excluded.observed_at, received_at = excluded.received_at,
    metrics = excluded.metrics
WHERE (excluded.observed_at, excluded.sequence) > (kept.observed_at, kept.sequence)
