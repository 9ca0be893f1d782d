-- name: found
INSERT INTO live_v1.orgs (org_id, name, salt, founded_at) VALUES (%s, %s, %s, %s)

-- name: park
INSERT INTO live_v1.parked (sequence, row_index, subject, reason, data) VALUES (%s, %s, %s, %s, %s)
