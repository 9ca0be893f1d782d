-- name: begin
INSERT INTO live_v1.checkpoint (partition, stream_identity, sequence, message_sequence, message_id)
VALUES (%s, %s, 0, 0, '')
ON CONFLICT DO NOTHING

-- name: load
SELECT stream_identity, sequence, message_sequence, message_id FROM live_v1.checkpoint WHERE partition = %s

-- name: advance
UPDATE live_v1.checkpoint
SET sequence = %s, message_sequence = %s, message_id = %s
WHERE partition = %s AND stream_identity = %s AND sequence = %s

-- name: salts
SELECT org_id, salt FROM live_v1.orgs
