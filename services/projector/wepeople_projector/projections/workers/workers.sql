-- name: find_bindings
SELECT asked.ordinal, coalesce(bound.worker_id, worker.worker_id)
FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[]) WITH ORDINALITY
     AS asked(org_id, kind, scope, value, ordinal)
LEFT JOIN live_v1.identifiers bound USING (org_id, kind, scope, value)
LEFT JOIN live_v1.workers worker
       ON asked.kind = 'workerId' AND worker.org_id = asked.org_id AND worker.worker_id = asked.value

-- name: found
INSERT INTO live_v1.workers (org_id, worker_id, in_directory, first_seen_at)
SELECT org_id, worker_id, false, first_seen_at
FROM unnest(%s::text[], %s::text[], %s::timestamptz[]) AS w(org_id, worker_id, first_seen_at)

-- name: bind
INSERT INTO live_v1.identifiers (org_id, kind, scope, value, worker_id)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[])

-- name: connect
INSERT INTO live_v1.worker_connections (org_id, worker_id, connection, first_seen_at)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::timestamptz[])
ON CONFLICT DO NOTHING

-- name: record_conflicts
INSERT INTO live_v1.identity_conflicts (org_id, reason, kind, scope, value, worker_id, other_worker_id, sequence,
                                        found_at)
SELECT * FROM unnest(%s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[], %s::bigint[],
                     %s::timestamptz[])
ON CONFLICT DO NOTHING

-- name: add_to_directory
UPDATE live_v1.workers w
SET in_directory = true, name = coalesce(nullif(d.name, ''), w.name)
FROM unnest(%s::text[], %s::text[], %s::text[]) AS d(org_id, worker_id, name)
WHERE w.org_id = d.org_id AND w.worker_id = d.worker_id
