-- name: positions
SELECT partition, stream_identity, sequence, message_sequence, rows FROM {schema}.checkpoint

-- name: hold_still
LOCK TABLE {schema}.checkpoint, {schema}.parked IN EXCLUSIVE MODE

-- name: settled_rows
SELECT partition, sequence, row_index FROM {schema}.parked WHERE status IN ('skip', 'skipped')

-- name: aside
SELECT partition, sequence, row_index, reason FROM {schema}.parked WHERE status IN ('parked', 'waiting', 'retry')

-- name: contents_aside
WITH messages AS MATERIALIZED (
    SELECT partition, sequence, subject, message_id, extract(epoch FROM stored_at) AS stored_at, sha256(data)::text AS data
    FROM {schema}.parked_messages
)
SELECT p.partition, p.sequence, p.row_index,
       sha256(convert_to(ROW(p.org_id, p.worker_id, m.subject, m.message_id, m.stored_at, m.data)::text, 'UTF8')) AS hash
FROM {schema}.parked p JOIN messages m USING (partition, sequence)
WHERE p.status IN ('parked', 'waiting', 'retry')

-- name: parked
SELECT p.partition, p.sequence, p.row_index AS row, p.org_id, p.worker_id, p.status, p.reason, p.attempts, p.parked_at, p.resolved_at,
       m.subject, m.message_id, m.stored_at
FROM {schema}.parked p JOIN {schema}.parked_messages m USING (partition, sequence)
WHERE %(every)s OR p.status NOT IN ('applied', 'skipped')
ORDER BY p.sequence, p.partition, p.row_index
LIMIT %(limit)s

-- name: parked_of_message
SELECT p.partition, p.sequence, p.row_index AS row, p.org_id, p.worker_id, p.status, p.reason, p.attempts, p.parked_at, p.resolved_at,
       m.subject, m.message_id, m.stored_at, m.data
FROM {schema}.parked p JOIN {schema}.parked_messages m USING (partition, sequence)
WHERE p.sequence = %(sequence)s AND (%(row)s::int IS NULL OR p.row_index = %(row)s)
  AND (%(org)s::text IS NULL OR p.org_id = %(org)s)
ORDER BY p.row_index

-- name: decide
UPDATE {schema}.parked
SET status = %(decision)s
WHERE status IN ('parked', 'retry', 'skip')
  AND (%(every)s OR (sequence = %(sequence)s AND (%(row)s::int IS NULL OR row_index = %(row)s)))
  AND (%(org)s::text IS NULL OR org_id = %(org)s)
RETURNING partition, sequence, row_index AS row, org_id, worker_id

-- name: take_over_messages
INSERT INTO {schema}.parked_messages SELECT * FROM {from_schema}.parked_messages m
WHERE EXISTS (SELECT FROM {from_schema}.parked p WHERE (p.partition, p.sequence) = (m.partition, m.sequence) AND p.status IN ('skip', 'skipped'))
ON CONFLICT DO NOTHING

-- name: take_over_skipped
INSERT INTO {schema}.parked SELECT * FROM {from_schema}.parked WHERE status IN ('skip', 'skipped')
ON CONFLICT DO NOTHING

-- name: one_at_a_time
SELECT pg_try_advisory_lock(hashtextextended(%(what)s, 0)) AS mine

-- name: dependents
SELECT DISTINCT vn.nspname || '.' || v.relname AS name
FROM pg_depend d
JOIN pg_rewrite r ON d.classid = 'pg_rewrite'::regclass AND r.oid = d.objid
JOIN pg_class v ON v.oid = r.ev_class
JOIN pg_namespace vn ON vn.oid = v.relnamespace
JOIN pg_class t ON d.refclassid = 'pg_class'::regclass AND t.oid = d.refobjid
JOIN pg_namespace tn ON tn.oid = t.relnamespace
WHERE tn.nspname = ANY(%(of)s) AND vn.nspname <> ALL(%(of)s) AND vn.nspname <> %(served)s
ORDER BY 1

-- name: move_aside
ALTER SCHEMA {schema} RENAME TO {replaced}

-- name: move_in
ALTER SCHEMA {rebuilt} RENAME TO {schema}

-- name: forget_verified
DELETE FROM {schema}.verified

-- name: retried
SELECT now() AS now, count(*) AS rows FROM {schema}.parked WHERE status = 'applied'

-- name: verified_at
SELECT min(verified_at) AS verified_at, now() AS now,
       (SELECT max(resolved_at) FROM {schema}.parked WHERE status = 'applied') AS retried_at
FROM {schema}.verified

-- name: proved
SELECT partition, table_name, sequence, rows, digest FROM {schema}.verified ORDER BY table_name, partition

-- name: aside_by_status
SELECT status, count(*) AS rows FROM {schema}.parked GROUP BY status

-- name: keep_state
UPDATE {rebuilt}.about SET paused = o.paused, serving_since = o.serving_since, on_poison = o.on_poison
FROM {schema}.about o

-- name: verify
INSERT INTO {schema}.verified (partition, table_name, sequence, rows, digest, verified_at)
VALUES (%(partition)s, %(table_name)s, %(sequence)s, %(rows)s, %(digest)s, %(verified_at)s)
