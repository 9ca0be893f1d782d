-- name: insert
INSERT INTO auth.outbox (fact_id, org_id, subject, body) VALUES (%s, %s, %s, %s)

-- name: first
SELECT fact_id, org_id, subject, body FROM auth.outbox ORDER BY position LIMIT 1 FOR UPDATE

-- name: count
SELECT count(*) FROM auth.outbox

-- name: delete
DELETE FROM auth.outbox WHERE fact_id = %s
