-- name: forget
DELETE FROM live_v1.rejected_rows WHERE partition = %s AND kept_until <= %s

-- name: copy
COPY live_v1.rejected_rows (partition, org_id, app_id, connection, request_id, sequence, received_at, kept_until,
                            row_index, code, message, field, retryable, raw)
FROM STDIN (FORMAT binary)
