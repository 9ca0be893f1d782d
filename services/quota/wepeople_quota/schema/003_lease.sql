-- Who counts is settled in NATS, by the lease; here a save only has to be of no older epoch than the one before.
DROP TABLE quota.ownership;
ALTER TABLE quota.checkpoint ADD COLUMN epoch bigint NOT NULL DEFAULT 0;
