-- name: workers_of_org
SELECT worker_id, name, emails, external_ids, connections, in_directory, first_seen_at, org_id
FROM live.workers
WHERE org_id = %(org_id)s
ORDER BY first_seen_at, worker_id

-- name: org_candidates
SELECT org_id FROM live.orgs WHERE org_id = %(org)s OR name = %(org)s ORDER BY org_id LIMIT 10

-- name: candidates
SELECT org_id, worker_id FROM live.workers WHERE worker_id = %(worker)s
UNION
SELECT org_id, worker_id FROM live.identifiers
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
SELECT org_id, name FROM live.orgs ORDER BY org_id

-- name: about
SELECT name || '_v' || version AS projection FROM live.about

-- name: checkpoints
SELECT partition, sequence FROM live.checkpoint ORDER BY partition

-- name: parked
SELECT count(*) AS rows FROM live.parked WHERE status IN ('parked', 'waiting', 'retry', 'skip')

-- name: conflicts
SELECT found_at, reason, kind, value, worker_id, other_worker_id, scope, sequence, org_id
FROM live.identity_conflicts
WHERE org_id = %(org_id)s
ORDER BY sequence, worker_id, reason, kind, scope, value

-- name: rejects
SELECT received_at, connection, request_id, row_index, code, field, message, retryable, raw, sequence, kept_until,
       org_id, app_id
FROM live.rejects
WHERE (%(org_id)s::text IS NULL OR org_id = %(org_id)s) AND (%(app)s::text IS NULL OR connection = %(app)s)
  AND (%(code)s::text IS NULL OR code = %(code)s)
ORDER BY sequence DESC, row_index
LIMIT %(limit)s

-- name: rejects_of_request
SELECT rejects.row_index, rejects.code, rejects.field, rejects.message, rejects.retryable, rejects.raw, requests.kind,
       rejects.request_id, rejects.org_id, rejects.app_id, rejects.connection, rejects.sequence, rejects.received_at,
       rejects.kept_until
FROM live.rejects JOIN live.requests USING (org_id, request_id)
WHERE request_id = %(request_id)s
ORDER BY row_index

-- name: request
SELECT request_id, org_id, app_id, connection, kind, sequence, received_at, projected_at, accepted, rejected
FROM live.requests
WHERE request_id = %(request_id)s

-- name: events
SELECT event_id, request_id, row_index, worker_id FROM live.timeline WHERE event_id = ANY (%(event_ids)s::text[])

-- name: kept
SELECT kept_from::text AS kept_from FROM live.kept WHERE table_name = %(table)s

-- name: parked_request
SELECT sequence, subject, reason, data
FROM live.parked
WHERE row_index = -1 AND position(convert_to(%(request_id)s, 'UTF8') IN data) > 0

-- name: parked_rows
SELECT row_index, status, reason FROM live.parked
WHERE org_id = %(org_id)s AND sequence = %(sequence)s AND status <> 'applied'
