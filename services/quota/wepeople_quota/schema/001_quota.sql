CREATE SCHEMA quota;

-- Who counts. A process that saves must hold the epoch that stands here.
CREATE TABLE quota.ownership (
    singleton boolean PRIMARY KEY DEFAULT true CHECK (singleton),
    epoch     bigint NOT NULL CHECK (epoch > 0),
    owner     text NOT NULL,
    taken_at  timestamptz NOT NULL DEFAULT now()
);

-- How far the stream has been counted; `usage` is the fold of it up to and including this sequence.
CREATE TABLE quota.checkpoint (
    stream       text PRIMARY KEY,
    identity     text NOT NULL,
    sequence     bigint NOT NULL CHECK (sequence >= 0),
    message_id   text NOT NULL,
    stored_at_ns bigint NOT NULL,
    saved_at     timestamptz NOT NULL DEFAULT now()
);

-- Monthly events by UTC month, such as 2026-04.
CREATE TABLE quota.usage (
    period text NOT NULL,
    org_id text NOT NULL,
    units  bigint NOT NULL CHECK (units >= 0),
    PRIMARY KEY (period, org_id)
);
