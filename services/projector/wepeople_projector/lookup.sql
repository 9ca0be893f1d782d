-- name: look
SELECT (SELECT sequence FROM live.checkpoint WHERE partition = %(partition)s),
       request_id, kind, received_at, sequence, projected_at, accepted, rejected
FROM (SELECT) AS always
LEFT JOIN live.requests ON request_id = %(request_id)s AND org_id = %(org_id)s AND app_id = %(app_id)s
