-- name: is_by_partition
SELECT FROM pg_class c
WHERE c.relnamespace = '{schema}'::regnamespace AND c.relname = 'commits'
  AND NOT EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'org_id')

-- name: last_of_partitions
SELECT DISTINCT ON (partition) partition, through, committed_at FROM {schema}.commits ORDER BY partition, through DESC

-- name: orgs
SELECT org_id FROM {schema}.orgs

-- name: begin_anew
TRUNCATE {schema}.commits;
ALTER TABLE {schema}.commits
    ADD COLUMN org_id text COLLATE "C" NOT NULL, DROP CONSTRAINT commits_pkey, ADD PRIMARY KEY (org_id, through)

-- name: keep
INSERT INTO {schema}.commits (org_id, partition, through, committed_at) VALUES (%s, %s, %s, %s)
