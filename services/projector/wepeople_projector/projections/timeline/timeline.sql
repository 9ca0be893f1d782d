-- name: copy
COPY live_v1.timeline (org_id, app_id, connection, request_id, sequence, received_at, event_id, worker_id, event_type,
                       category, row_index, occurred_at, duration, metadata, metadata_raw)
FROM STDIN (FORMAT binary)

-- name: find_events
SELECT event_id FROM live_v1.timeline WHERE event_id = ANY (ARRAY(SELECT json_array_elements_text(%s::json)))

-- name: hold_as_jsonb
SELECT count(raw::jsonb) FROM unnest(%s::text[]) AS raw
