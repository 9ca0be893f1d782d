-- name: copy
COPY live_v1.requests (request_id, org_id, app_id, connection, kind, sequence, received_at, accepted, rejected)
FROM STDIN (FORMAT binary)

-- name: look
SELECT (SELECT sequence FROM live_v1.checkpoint WHERE partition = %(partition)s),
       request_id, kind, received_at, sequence, projected_at, accepted, rejected
FROM (SELECT) AS always
LEFT JOIN live_v1.requests ON request_id = %(request_id)s AND org_id = %(org_id)s AND app_id = %(app_id)s
