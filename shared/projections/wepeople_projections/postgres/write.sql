-- name: found
INSERT INTO {schema}.orgs (org_id, name, salt, founded_at) VALUES (%s, %s, %s, %s)

-- name: park_message
INSERT INTO {schema}.parked_messages (sequence, subject, message_id, stored_at, data, partition)
VALUES (%s, %s, %s, %s, %s, %s)
ON CONFLICT DO NOTHING

-- name: park
INSERT INTO {schema}.parked (sequence, row_index, org_id, worker_id, status, reason, partition)
SELECT sequence, row_index, org_id, worker_id, status, reason, partition
FROM json_to_recordset(%s::json)
     AS p(sequence bigint, row_index smallint, org_id text, worker_id text, status text, reason text,
          partition smallint)
