-- What was counted is kept by partition, so that a stream can be split, and several owners save, without moving any of
-- it. The count begins again with these tables: it is a fold of the stream, and quota reads that from its beginning where
-- a partition has no position. Those of before stay until the old code is gone.

-- How far each partition has been counted, and under which epoch that was saved; a save has to be of no older one.
CREATE TABLE quota.partitions (
    partition    smallint PRIMARY KEY CHECK (partition BETWEEN 0 AND 15),
    epoch        bigint NOT NULL,
    identity     text NOT NULL,
    sequence     bigint NOT NULL CHECK (sequence >= 0),
    message_id   text NOT NULL,
    stored_at_ns bigint NOT NULL,
    saved_at     timestamptz NOT NULL DEFAULT now()
);

-- Who trims a stream must see how far it is counted; of orgs this says nothing.
GRANT USAGE ON SCHEMA quota TO wepeople_operator;
GRANT SELECT ON quota.partitions TO wepeople_operator;

-- Monthly events by UTC month, such as 2026-04, and by the app's connection.
CREATE TABLE quota.org_usage (
    partition  smallint NOT NULL,
    period     text NOT NULL,
    org_id     text NOT NULL,
    connection text NOT NULL,
    units      bigint NOT NULL CHECK (units >= 0),
    PRIMARY KEY (partition, period, org_id, connection)
);

-- Which named events a month has charged: twelve bytes of each id's hash, those of one save in one row, under the
-- sequence that it was saved with. The two months that can still change are kept.
CREATE TABLE quota.org_charged_ids (
    partition smallint NOT NULL,
    period    text NOT NULL,
    org_id    text NOT NULL,
    sequence  bigint NOT NULL,
    digests   bytea NOT NULL CHECK (length(digests) > 0 AND length(digests) % 12 = 0),
    PRIMARY KEY (partition, period, org_id, sequence)
);

ALTER TABLE quota.org_usage ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY fold_reads_all_usage ON quota.org_usage FOR SELECT TO wepeople_quota
    USING (current_setting('wepeople.across_orgs', true) = 'fold');
CREATE POLICY fold_adds_usage ON quota.org_usage FOR INSERT TO wepeople_quota
    WITH CHECK (current_setting('wepeople.across_orgs', true) = 'fold');
CREATE POLICY fold_changes_usage ON quota.org_usage FOR UPDATE TO wepeople_quota
    USING (current_setting('wepeople.across_orgs', true) = 'fold');

ALTER TABLE quota.org_charged_ids ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
CREATE POLICY fold_reads_all_ids ON quota.org_charged_ids FOR SELECT TO wepeople_quota
    USING (current_setting('wepeople.across_orgs', true) = 'fold');
CREATE POLICY fold_adds_ids ON quota.org_charged_ids FOR INSERT TO wepeople_quota
    WITH CHECK (current_setting('wepeople.across_orgs', true) = 'fold');
CREATE POLICY fold_forgets_ids ON quota.org_charged_ids FOR DELETE TO wepeople_quota
    USING (current_setting('wepeople.across_orgs', true) = 'fold');
