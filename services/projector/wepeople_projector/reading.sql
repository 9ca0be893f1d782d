-- name: workers_of_org
SELECT worker_id, name, emails, external_ids, connections, in_directory, first_seen_at, org_id
FROM live.workers
WHERE org_id = %(org_id)s
ORDER BY first_seen_at, worker_id

-- name: org_candidates
SELECT org_id FROM live_v1.orgs WHERE org_id = %(org)s OR name = %(org)s ORDER BY org_id LIMIT 10

-- name: candidates
SELECT org_id, worker_id FROM live_v1.workers WHERE worker_id = %(worker)s
UNION
SELECT org_id, worker_id FROM live_v1.identifiers
WHERE kind = 'email' AND value = %(email)s OR kind = 'externalId' AND value = %(worker)s
ORDER BY org_id, worker_id
LIMIT 10

-- name: worker
SELECT worker_id, name, emails, external_ids, connections, in_directory, first_seen_at, org_id
FROM live.workers
WHERE org_id = %(org_id)s AND worker_id = %(worker_id)s

-- name: timeline
SELECT occurred_at, event_type, category, connection, duration, metadata_raw, metadata, event_id, request_id,
       row_index, sequence, org_id, worker_id, app_id, received_at
FROM live.timeline
WHERE org_id = %(org_id)s AND worker_id = %(worker_id)s
ORDER BY occurred_at DESC, event_id DESC
LIMIT %(limit)s

-- name: snapshots
SELECT connection, snapshot_type, observed_at, metrics, received_at, event_id, request_id, sequence, org_id, worker_id,
       app_id
FROM live.latest_snapshots
WHERE org_id = %(org_id)s AND worker_id = %(worker_id)s
ORDER BY connection, snapshot_type

-- name: orgs
SELECT org_id, name FROM live_v1.orgs ORDER BY org_id

-- name: checkpoints
SELECT partition, sequence FROM live_v1.checkpoint ORDER BY partition

-- name: parked
SELECT count(*) AS messages FROM live_v1.parked
