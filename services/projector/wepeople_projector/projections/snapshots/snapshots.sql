-- name: upsert
INSERT INTO live_v1.latest_snapshots AS kept (org_id, worker_id, connection, snapshot_type, app_id, event_id,
                                              request_id, sequence, observed_at, received_at, metrics)
SELECT org_id, worker_id, connection, snapshot_type, app_id, event_id, request_id, sequence, observed_at, received_at,
       metrics::json
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[],
            %s::timestamptz[], %s::timestamptz[], %s::text[])
     AS s(org_id, worker_id, connection, snapshot_type, app_id, event_id, request_id, sequence, observed_at,
          received_at, metrics)
ON CONFLICT (org_id, worker_id, connection, snapshot_type) DO UPDATE
SET app_id = excluded.app_id, event_id = excluded.event_id, request_id = excluded.request_id,
    sequence = excluded.sequence, observed_at = excluded.observed_at, received_at = excluded.received_at,
    metrics = excluded.metrics
WHERE (excluded.observed_at, excluded.sequence) > (kept.observed_at, kept.sequence)
