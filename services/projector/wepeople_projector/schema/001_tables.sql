-- Version 1 of the live read models. Another version gets a schema of its own, is built beside this one from the
-- first message of the stream, and takes over when the views in `live` are pointed at it.
CREATE SCHEMA live_v1;

-- How far each partition has been applied. `sequence` is the last position of the stream that holds nothing new for
-- the partition; message_sequence and message_id name the last message that was applied, which proves at each start
-- that the stream is still the one these rows were made from.
CREATE TABLE live_v1.checkpoint (
    partition        smallint NOT NULL PRIMARY KEY,
    stream_identity  text     NOT NULL,
    sequence         bigint   NOT NULL,
    message_sequence bigint   NOT NULL,
    message_id       text     NOT NULL
);

-- `salt` keys the ids of the org's workers; nobody but the projector reads it.
CREATE TABLE live_v1.orgs (
    org_id     text COLLATE "C" NOT NULL PRIMARY KEY,
    name       text             NOT NULL,
    salt       bytea            NOT NULL,
    founded_at timestamptz      NOT NULL
);

-- A worker's identifiers and connections stand in its row, in the order in which they were first seen: most workers
-- are written once, with everything that is known of them, and read in one piece.
CREATE TABLE live_v1.workers (
    org_id        text COLLATE "C" NOT NULL,
    worker_id     text COLLATE "C" NOT NULL,
    name          text,
    in_directory  boolean          NOT NULL,
    first_seen_at timestamptz      NOT NULL,
    emails        text[]           NOT NULL,
    external_ids  text[]           NOT NULL,
    connections   text[]           NOT NULL,
    PRIMARY KEY (org_id, worker_id)
);

-- To which worker an identifier is bound. `scope` is the app for an externalId, the org for an email.
CREATE TABLE live_v1.identifiers (
    org_id    text COLLATE "C" NOT NULL,
    kind      text COLLATE "C" NOT NULL CHECK (kind IN ('externalId', 'email')),
    scope     text COLLATE "C" NOT NULL,
    value     text COLLATE "C" NOT NULL,
    worker_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (org_id, kind, scope, value)
);

-- `have`, and after it what `more` has beyond it, in its order and once each.
CREATE FUNCTION live_v1.append_new(have text[], more text[]) RETURNS text[]
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN have || ARRAY(SELECT m.value FROM unnest(more) WITH ORDINALITY AS m(value, n)
                     WHERE m.value <> ALL (have) GROUP BY m.value ORDER BY min(m.n));

-- The first time that an identifier spoke against the worker a row was given to.
CREATE TABLE live_v1.identity_conflicts (
    org_id          text COLLATE "C" NOT NULL,
    reason          text COLLATE "C" NOT NULL CHECK (reason IN ('bound_to_another', 'unknown_worker_id')),
    kind            text COLLATE "C" NOT NULL,
    scope           text COLLATE "C" NOT NULL,
    value           text COLLATE "C" NOT NULL,
    worker_id       text COLLATE "C" NOT NULL,
    other_worker_id text COLLATE "C",
    sequence        bigint           NOT NULL,
    found_at        timestamptz      NOT NULL,
    PRIMARY KEY (org_id, worker_id, reason, kind, scope, value)
);
COMMENT ON TABLE live_v1.identity_conflicts IS
    'Rows whose identifiers did not agree: the stronger one won, nothing was merged. other_worker_id is the worker that the weaker identifier is bound to.';

CREATE TABLE live_v1.timeline (
    event_id     text COLLATE "C" NOT NULL,
    org_id       text COLLATE "C" NOT NULL,
    worker_id    text COLLATE "C" NOT NULL,
    app_id       text             NOT NULL,
    connection   text             NOT NULL,
    request_id   text             NOT NULL,
    row_index    smallint         NOT NULL,
    sequence     bigint           NOT NULL,
    event_type   text             NOT NULL,
    category     text             NOT NULL,
    occurred_at  timestamptz      NOT NULL,
    received_at  timestamptz      NOT NULL,
    duration     double precision,
    metadata     jsonb,
    metadata_raw text,
    PRIMARY KEY (event_id)
);
CREATE INDEX timeline_of_worker ON live_v1.timeline (org_id, worker_id, occurred_at DESC);

CREATE TABLE live_v1.latest_snapshots (
    org_id        text COLLATE "C" NOT NULL,
    worker_id     text COLLATE "C" NOT NULL,
    connection    text COLLATE "C" NOT NULL,
    snapshot_type text COLLATE "C" NOT NULL,
    app_id        text             NOT NULL,
    event_id      text             NOT NULL,
    request_id    text             NOT NULL,
    sequence      bigint           NOT NULL,
    observed_at   timestamptz      NOT NULL,
    received_at   timestamptz      NOT NULL,
    metrics       json             NOT NULL,
    PRIMARY KEY (org_id, worker_id, connection, snapshot_type)
);

-- What could not be applied, with the reason: nothing is skipped in silence. row_index is -1 for a whole message.
CREATE TABLE live_v1.parked (
    sequence  bigint   NOT NULL,
    row_index smallint NOT NULL,
    subject   text     NOT NULL,
    reason    text     NOT NULL,
    data      bytea    NOT NULL,
    PRIMARY KEY (sequence, row_index)
);
