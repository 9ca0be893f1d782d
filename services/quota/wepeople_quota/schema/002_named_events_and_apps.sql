-- Usage is counted by app, and the named events of a month are charged once. The old totals know neither, so the count
-- begins again: it is a fold of the stream, and quota reads that from its beginning when there is no checkpoint.
DELETE FROM quota.checkpoint;
DROP TABLE quota.usage;

-- Monthly events by UTC month, such as 2026-04, and by the app's connection.
CREATE TABLE quota.usage (
    period     text NOT NULL,
    org_id     text NOT NULL,
    connection text NOT NULL,
    units      bigint NOT NULL CHECK (units >= 0),
    PRIMARY KEY (period, org_id, connection)
);

-- Which named events a month has charged: twelve bytes of each id's hash, those of one save in one row, under the
-- sequence that it was saved with. The two months that can still change are kept.
CREATE TABLE quota.charged_ids (
    period   text NOT NULL,
    org_id   text NOT NULL,
    sequence bigint NOT NULL,
    digests  bytea NOT NULL CHECK (length(digests) > 0 AND length(digests) % 12 = 0),
    PRIMARY KEY (period, org_id, sequence)
);
