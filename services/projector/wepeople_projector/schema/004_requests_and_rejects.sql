-- Every stored request, and the rows that were rejected. Both are made from the stream's first message on, so whatever
-- was projected before is made again with them: a running projector finds its checkpoints gone and begins anew.
CREATE TABLE live_v1.requests (
    request_id   text COLLATE "C" NOT NULL,
    org_id       text COLLATE "C" NOT NULL,
    app_id       text             NOT NULL,
    connection   text             NOT NULL,
    kind         text             NOT NULL,
    sequence     bigint           NOT NULL,
    received_at  timestamptz      NOT NULL,
    accepted     integer          NOT NULL,
    rejected     integer          NOT NULL,
    projected_at timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (request_id)
);

-- `kept_until` is 14 days after the request was stored; a row goes when the partition's messages are past it.
CREATE TABLE live_v1.rejected_rows (
    partition   smallint         NOT NULL,
    org_id      text COLLATE "C" NOT NULL,
    app_id      text             NOT NULL,
    connection  text             NOT NULL,
    request_id  text COLLATE "C" NOT NULL,
    sequence    bigint           NOT NULL,
    received_at timestamptz      NOT NULL,
    kept_until  timestamptz      NOT NULL,
    row_index   smallint         NOT NULL,
    code        text             NOT NULL,
    message     text             NOT NULL,
    field       text,
    retryable   boolean          NOT NULL,
    raw         text             NOT NULL,
    PRIMARY KEY (request_id, row_index)
);
CREATE INDEX rejected_rows_of_org ON live_v1.rejected_rows (org_id, sequence, row_index);
CREATE INDEX rejected_rows_by_age ON live_v1.rejected_rows (partition, kept_until);

CREATE VIEW live.requests WITH (security_invoker = true) AS
SELECT request_id, org_id, app_id, connection, kind, sequence, received_at, accepted, rejected, projected_at
FROM live_v1.requests;

COMMENT ON VIEW live.requests IS 'Every stored request, once: all whose body was well formed, whatever became of its rows.';
COMMENT ON COLUMN live.requests.request_id IS 'As in X-Request-Id of the first answer; a replay of it carries another there.';
COMMENT ON COLUMN live.requests.connection IS 'custom:<slug> of the app.';
COMMENT ON COLUMN live.requests.kind IS 'events or snapshot.';
COMMENT ON COLUMN live.requests.sequence IS 'The request''s position in the stream.';
COMMENT ON COLUMN live.requests.received_at IS 'When the gateway received the request.';
COMMENT ON COLUMN live.requests.accepted IS 'Rows accepted, as answered: those that an earlier event of the same name kept out of the timeline included.';
COMMENT ON COLUMN live.requests.rejected IS 'Rows rejected, as answered.';
COMMENT ON COLUMN live.requests.projected_at IS 'When this database got the request. Operational and not part of the read model: another build of the same stream has other values here, and only here.';

CREATE VIEW live.rejects WITH (security_invoker = true) AS
SELECT org_id, app_id, connection, request_id, row_index, code, message, field, retryable, raw, sequence, received_at,
       kept_until
FROM live_v1.rejected_rows;

COMMENT ON VIEW live.rejects IS 'Rows that were rejected, with the reason, for 14 days.';
COMMENT ON COLUMN live.rejects.row_index IS 'The row''s place in its request, from 0.';
COMMENT ON COLUMN live.rejects.code IS 'As answered.';
COMMENT ON COLUMN live.rejects.field IS 'The field at fault; NULL when it is the row as a whole.';
COMMENT ON COLUMN live.rejects.retryable IS 'Whether the same row can be accepted later without a change.';
COMMENT ON COLUMN live.rejects.raw IS 'The row byte for byte as received: text, because it need not be JSON that Postgres can hold.';
COMMENT ON COLUMN live.rejects.kept_until IS '14 days after the request was stored. The row goes when a later message of the org''s partition is stored past this moment.';

COMMENT ON COLUMN live.timeline.event_id IS 'As the API answered it. Ordered by time of receipt, unless the sender named the event: then it is derived from the name, and the first event of a name is the only one here.';

GRANT SELECT ON live.requests, live.rejects, live_v1.requests, live_v1.rejected_rows TO wepeople_operator, wepeople_reader;

DO $$
DECLARE
    org_table text;
BEGIN
    FOREACH org_table IN ARRAY ARRAY['requests', 'rejected_rows']
    LOOP
        EXECUTE format('ALTER TABLE live_v1.%I ENABLE ROW LEVEL SECURITY', org_table);
        EXECUTE format('CREATE POLICY operator_sees_all ON live_v1.%I FOR SELECT TO wepeople_operator USING (true)', org_table);
        EXECUTE format(
            'CREATE POLICY reader_sees_its_orgs ON live_v1.%I FOR SELECT TO wepeople_reader USING '
            '(org_id = ANY (ARRAY(SELECT r.org_id FROM live.reader_orgs r WHERE r.role_name = current_user)))', org_table);
    END LOOP;
END
$$;

-- The checkpoint first: who writes holds it, and has then written all.
TRUNCATE live_v1.checkpoint, live_v1.orgs, live_v1.workers, live_v1.identifiers, live_v1.identity_conflicts,
         live_v1.timeline, live_v1.latest_snapshots, live_v1.parked;
