-- name: find_bindings
SELECT asked.n, coalesce(bound.worker_id, worker.worker_id)
FROM json_to_recordset(%s::json) AS asked(n int, org_id text, kind text, scope text, value text)
LEFT JOIN live_v1.identifiers bound USING (org_id, kind, scope, value)
LEFT JOIN live_v1.workers worker
       ON asked.kind = 'workerId' AND worker.org_id = asked.org_id AND worker.worker_id = asked.value
WHERE bound.worker_id IS NOT NULL OR worker.worker_id IS NOT NULL

-- name: copy_workers
COPY live_v1.workers (org_id, worker_id, name, in_directory, first_seen_at, emails, external_ids, connections)
FROM STDIN (FORMAT binary)

-- name: copy_identifiers
COPY live_v1.identifiers (org_id, kind, scope, value, worker_id) FROM STDIN (FORMAT binary)

-- name: grow_workers
UPDATE live_v1.workers w
SET name = coalesce(nullif(more.name, ''), w.name),
    in_directory = w.in_directory OR more.in_directory,
    emails = live_v1.append_new(w.emails, more.emails),
    external_ids = live_v1.append_new(w.external_ids, more.external_ids),
    connections = live_v1.append_new(w.connections, more.connections)
FROM json_to_recordset(%s::json)
     AS more(org_id text, worker_id text, name text, in_directory boolean, emails text[], external_ids text[],
             connections text[])
WHERE w.org_id = more.org_id AND w.worker_id = more.worker_id
  AND NOT (more.name IN ('', coalesce(w.name, '')) AND w.in_directory >= more.in_directory AND w.emails @> more.emails
           AND w.external_ids @> more.external_ids AND w.connections @> more.connections)

-- name: record_conflicts
INSERT INTO live_v1.identity_conflicts
SELECT * FROM json_populate_recordset(NULL::live_v1.identity_conflicts, %s::json)
ON CONFLICT DO NOTHING
