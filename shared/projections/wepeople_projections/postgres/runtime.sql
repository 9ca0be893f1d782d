-- What every projection has beside its own tables. {schema} is the projection's.
CREATE TABLE {schema}.about (
    name          text        NOT NULL,
    version       integer     NOT NULL,
    source        text        NOT NULL,
    code_sha256   text        NOT NULL,
    tables_sha256 text        NOT NULL,
    selection     json        NOT NULL,
    views         json        NOT NULL,
    on_poison     text        NOT NULL CHECK (on_poison IN ('park', 'stop')),
    ordered       boolean     NOT NULL,
    paused        boolean     NOT NULL DEFAULT false,
    serving_since timestamptz,
    created_at    timestamptz NOT NULL DEFAULT now()
);
CREATE UNIQUE INDEX ON {schema}.about ((true));

CREATE TABLE {schema}.checkpoint (
    partition        smallint    NOT NULL PRIMARY KEY,
    stream_identity  text        NOT NULL,
    sequence         bigint      NOT NULL,
    message_sequence bigint      NOT NULL,
    message_id       text        NOT NULL,
    rows             bigint      NOT NULL DEFAULT 0,
    moved_at         timestamptz NOT NULL DEFAULT now()
);

-- When what an org has up to `through` became visible: about this database, not about the stream.
CREATE TABLE {schema}.commits (
    org_id       text COLLATE "C" NOT NULL,
    partition    smallint         NOT NULL,
    through      bigint           NOT NULL,
    committed_at timestamptz      NOT NULL DEFAULT now(),
    PRIMARY KEY (org_id, through)
);

-- `salt` keys the ids of the org's workers; nobody but the owner reads it.
CREATE TABLE {schema}.orgs (
    org_id     text COLLATE "C" NOT NULL PRIMARY KEY,
    name       text             NOT NULL,
    salt       bytea            NOT NULL,
    founded_at timestamptz      NOT NULL
);

-- To which worker an identifier is bound. `scope` is the app for an externalId, else the org.
CREATE TABLE {schema}.identifiers (
    org_id    text COLLATE "C" NOT NULL,
    kind      text COLLATE "C" NOT NULL CHECK (kind IN ('externalId', 'email', 'workerId')),
    scope     text COLLATE "C" NOT NULL,
    value     text COLLATE "C" NOT NULL,
    worker_id text COLLATE "C" NOT NULL,
    PRIMARY KEY (org_id, kind, scope, value)
);
CREATE INDEX ON {schema}.identifiers (org_id, worker_id);

-- Events that their senders named, each of which counts once.
CREATE TABLE {schema}.named_events (
    org_id   text COLLATE "C" NOT NULL,
    event_id text COLLATE "C" NOT NULL PRIMARY KEY
);

-- Of a table kept by month, where what is there begins: everything before that day was dropped. No line: all is there.
CREATE TABLE {schema}.kept (
    table_name text        NOT NULL PRIMARY KEY,
    kept_from  date        NOT NULL,
    dropped_at timestamptz NOT NULL DEFAULT now()
);

-- What could not be applied: nothing is skipped in silence. row_index is -1 for a whole message.
CREATE TABLE {schema}.parked_messages (
    sequence   bigint      NOT NULL,
    subject    text        NOT NULL,
    message_id text        NOT NULL,
    stored_at  timestamptz NOT NULL,
    data       bytea       NOT NULL,
    partition  smallint    NOT NULL,
    PRIMARY KEY (partition, sequence)
);
CREATE TABLE {schema}.parked (
    sequence    bigint           NOT NULL,
    row_index   smallint         NOT NULL,
    org_id      text COLLATE "C" NOT NULL,
    worker_id   text COLLATE "C" NOT NULL,
    status      text             NOT NULL CHECK (status IN ('parked', 'waiting', 'retry', 'skip', 'applied', 'skipped')),
    reason      text             NOT NULL,
    attempts    integer          NOT NULL DEFAULT 0,
    parked_at   timestamptz      NOT NULL DEFAULT now(),
    resolved_at timestamptz,
    partition   smallint         NOT NULL,
    PRIMARY KEY (partition, sequence, row_index),
    FOREIGN KEY (partition, sequence) REFERENCES {schema}.parked_messages
);
CREATE INDEX ON {schema}.parked (org_id, worker_id) WHERE resolved_at IS NULL;
CREATE INDEX ON {schema}.parked (partition, sequence) WHERE resolved_at IS NULL AND status IN ('retry', 'skip');

-- The rows and digest of each table and partition when they were last compared with a build from the stream.
CREATE TABLE {schema}.verified (
    partition   smallint    NOT NULL,
    table_name  text        NOT NULL,
    sequence    bigint      NOT NULL,
    rows        bigint      NOT NULL,
    digest      text        NOT NULL,
    verified_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (partition, table_name)
);

GRANT USAGE ON SCHEMA {schema} TO wepeople_operator, wepeople_reader;
GRANT SELECT ON {schema}.about, {schema}.checkpoint, {schema}.parked, {schema}.parked_messages, {schema}.verified,
                {schema}.named_events TO wepeople_operator;
GRANT SELECT (org_id, name, founded_at) ON {schema}.orgs TO wepeople_operator;
GRANT SELECT ON {schema}.commits, {schema}.identifiers, {schema}.kept TO wepeople_operator, wepeople_reader;
