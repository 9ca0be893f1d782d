-- name: kept
SELECT table_name, kept_from FROM {schema}.kept

-- name: hold
LOCK TABLE {schema}.kept IN ACCESS SHARE MODE

-- name: keep_others_out
LOCK TABLE {schema}.kept IN ACCESS EXCLUSIVE MODE

-- name: one_maker
LOCK TABLE {table} IN SHARE UPDATE EXCLUSIVE MODE

-- name: pieces
SELECT c.relname, c.reltuples::bigint, coalesce(pg_total_relation_size(c.oid), 0)
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = to_regclass('{table}')
ORDER BY c.relname

-- name: day
SELECT (now() AT TIME ZONE 'UTC')::date

-- name: monthly_tables
SELECT c.relname FROM pg_class c
WHERE c.relnamespace = '{schema}'::regnamespace AND c.relkind = 'p' AND c.relname NOT LIKE 'Door of %'
ORDER BY c.relname

-- name: make
CREATE TABLE {piece} (LIKE {table})

-- name: attach
ALTER TABLE {table} ATTACH PARTITION {piece} FOR VALUES FROM ({begin}) TO ({end})

-- name: drop
DROP TABLE {piece}

-- name: keep_from
INSERT INTO {schema}.kept (table_name, kept_from) VALUES (%(table)s, %(kept_from)s)
ON CONFLICT (table_name) DO UPDATE SET kept_from = excluded.kept_from, dropped_at = now()
WHERE kept.kept_from < excluded.kept_from

-- name: forget_verified
DELETE FROM {schema}.verified
