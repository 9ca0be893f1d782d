-- name: begin
INSERT INTO {schema}.checkpoint (partition, stream_identity, sequence, message_sequence, message_id, rows, moved_at)
VALUES (%s, %s, %s, 0, '', 0, now())
ON CONFLICT DO NOTHING

-- name: load
SELECT tableoid::bigint, stream_identity, sequence, message_sequence, message_id
FROM {schema}.checkpoint
WHERE partition = %s

-- name: advance
UPDATE {schema}.checkpoint
SET sequence = %s, message_sequence = %s, message_id = %s, rows = rows + %s, moved_at = now()
WHERE partition = %s AND tableoid = %s::bigint::oid AND stream_identity = %s AND sequence = %s

-- name: commit
INSERT INTO {schema}.commits (org_id, partition, through, committed_at)
SELECT org_id, %s, %s, now() FROM unnest(%s::text[]) AS brought(org_id)
ON CONFLICT DO NOTHING

-- name: forget_commits
DELETE FROM {schema}.commits c
WHERE partition = ANY (%s) AND committed_at < now() - interval '14 days'
  AND EXISTS (SELECT FROM {schema}.commits later WHERE later.org_id = c.org_id AND later.through > c.through)

-- name: positions
SELECT partition, sequence FROM {schema}.checkpoint

-- name: salts
SELECT org_id, salt FROM {schema}.orgs

-- name: find_bindings
SELECT asked.n,
       coalesce(bound.worker_id,
                (SELECT known.worker_id FROM {schema}.identifiers known
                 WHERE asked.kind = 'workerId' AND known.org_id = asked.org_id AND known.worker_id = asked.value
                 LIMIT 1))
FROM json_to_recordset(%s::json) AS asked(n int, org_id text, kind text, scope text, value text)
LEFT JOIN {schema}.identifiers bound USING (org_id, kind, scope, value)

-- name: find_names
SELECT event_id
FROM json_to_recordset(%s::json) AS asked(event_id text)
JOIN {schema}.named_events USING (event_id)

-- name: join
SELECT pg_advisory_lock_shared(%s::int, %s::int)

-- name: leave
SELECT pg_advisory_unlock_shared(%s::int, %s::int)

-- name: members
SELECT pid
FROM pg_locks
WHERE locktype = 'advisory' AND objsubid = 2 AND granted
  AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
  AND classid::bigint = %s::bigint & 4294967295 AND objid::bigint = %s::bigint & 4294967295
ORDER BY pid

-- name: take
SELECT pg_try_advisory_lock(%s::int, %s::int)

-- name: release
SELECT pg_advisory_unlock(%s::int, %s::int)

-- name: about
SELECT paused, serving_since IS NOT NULL FROM {schema}.about

-- name: decided
SELECT DISTINCT partition FROM {schema}.parked WHERE resolved_at IS NULL AND status IN ('retry', 'skip')

-- name: unsettled
SELECT EXISTS (SELECT FROM {schema}.parked WHERE resolved_at IS NULL AND status <> 'parked')

-- name: skip
UPDATE {schema}.parked
SET status = 'skipped', resolved_at = now()
WHERE partition = %s AND resolved_at IS NULL AND status = 'skip'

-- name: retries
SELECT p.org_id, p.sequence, p.row_index, octet_length(m.data)
FROM {schema}.parked p JOIN {schema}.parked_messages m USING (partition, sequence)
WHERE p.resolved_at IS NULL AND p.status = 'retry' AND partition = %s
ORDER BY p.sequence, p.row_index
LIMIT %s

-- name: loose_retries
SELECT p.org_id, p.sequence, p.row_index, octet_length(m.data)
FROM {schema}.parked p JOIN {schema}.parked_messages m USING (partition, sequence)
WHERE p.resolved_at IS NULL AND p.status = 'retry' AND partition = %s
  AND p.worker_id = '' AND p.row_index >= 0
ORDER BY p.sequence, p.row_index
LIMIT %s

-- name: heads
SELECT DISTINCT ON (p.org_id, p.worker_id) p.org_id, p.worker_id, p.sequence, p.row_index, p.status
FROM {schema}.parked p
WHERE p.resolved_at IS NULL AND p.partition = %s AND (p.worker_id <> '' OR p.row_index = -1)
ORDER BY p.org_id, p.worker_id, p.sequence, p.row_index

-- name: followers
SELECT p.org_id, p.worker_id, p.sequence, p.row_index, p.status, octet_length(m.data)
FROM unnest(%s::text[], %s::text[]) AS head(org_id, worker_id)
JOIN {schema}.parked p USING (org_id, worker_id)
JOIN {schema}.parked_messages m USING (partition, sequence)
WHERE p.resolved_at IS NULL AND (p.worker_id <> '' OR p.row_index = -1)
ORDER BY p.sequence, p.row_index
LIMIT %s

-- name: wait_again
UPDATE {schema}.parked
SET status = 'waiting'
WHERE partition = %s AND resolved_at IS NULL AND status = 'retry'

-- name: parked_messages
SELECT sequence, subject, message_id, extract(epoch FROM stored_at), data
FROM {schema}.parked_messages
WHERE partition = %s AND sequence = ANY (%s)
ORDER BY sequence

-- name: resolve
UPDATE {schema}.parked p
SET status = 'applied', resolved_at = now(), attempts = attempts + 1
FROM unnest(%s::bigint[], %s::int[]) AS done(sequence, row_index)
WHERE p.partition = %s AND p.sequence = done.sequence AND p.row_index = done.row_index

-- name: park_again
UPDATE {schema}.parked
SET status = 'parked', reason = left(%s, 2000), attempts = attempts + 1
WHERE partition = %s AND sequence = %s AND row_index = %s

-- name: wait_for
UPDATE {schema}.parked
SET status = 'waiting', worker_id = %s
WHERE partition = %s AND sequence = %s AND row_index = %s

-- name: left_to_settle
SELECT EXISTS (
  SELECT FROM unnest(%s::int[], %s::bigint[], %s::int[]) AS chosen(partition, sequence, row_index)
  JOIN {schema}.parked p USING (partition, sequence, row_index)
  WHERE p.resolved_at IS NULL AND p.status IN ('retry', 'skip'))

-- name: outcome
SELECT p.sequence, p.row_index AS row, p.org_id, p.worker_id, p.status, p.reason, p.attempts, p.parked_at, p.resolved_at,
       m.subject, m.message_id, m.stored_at
FROM unnest(%s::int[], %s::bigint[], %s::int[]) AS chosen(partition, sequence, row_index)
JOIN {schema}.parked p USING (partition, sequence, row_index)
JOIN {schema}.parked_messages m USING (partition, sequence)
ORDER BY p.sequence, p.row_index

-- name: blocker
SELECT waits.sequence, waits.row_index, b.sequence, b.row_index
FROM {schema}.parked waits
JOIN {schema}.parked b ON b.org_id = waits.org_id AND (b.worker_id = waits.worker_id OR b.row_index = -1)
WHERE waits.sequence = %s AND (%s::int IS NULL OR waits.row_index = %s)
  AND (%s::text IS NULL OR waits.org_id = %s) AND waits.status = 'waiting'
  AND b.resolved_at IS NULL AND b.status <> 'waiting'
  AND (b.sequence, b.row_index) < (waits.sequence, waits.row_index)
ORDER BY waits.row_index, b.sequence, b.row_index
LIMIT 1
