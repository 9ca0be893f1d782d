-- name: key_state
SELECT k.hash, k.revoked_at IS NOT NULL AS revoked,
       a.org_id, a.app_id, a.slug AS app_slug, a.connection, k.key_id,
       ARRAY(SELECT t.event_type FROM auth.app_event_types t WHERE t.app_id = a.app_id) AS allowed_event_types,
       coalesce(k.requests_per_second, p.key_requests_per_second) AS key_requests_per_second,
       p.org_requests_per_second, p.max_events_per_month
FROM auth.keys k
JOIN auth.apps a USING (app_id)
JOIN auth.orgs o ON o.org_id = a.org_id
JOIN auth.plans p ON p.name = o.plan
WHERE k.key_id = %(key_id)s

-- name: app_readiness
SELECT EXISTS (SELECT FROM auth.outbox x WHERE x.org_id = a.org_id)
FROM auth.apps a
WHERE a.app_id = %(app_id)s

-- name: insert_key
INSERT INTO auth.keys (key_id, app_id, org_id, name, hash, requests_per_second)
SELECT %(key_id)s, app_id, org_id, %(name)s, %(hash)s, %(requests_per_second)s FROM auth.apps WHERE app_id = %(app_id)s
RETURNING key_id, app_id, name, requests_per_second, created_at, revoked_at

-- name: list_keys
SELECT key_id, app_id, name, requests_per_second, created_at, revoked_at
FROM auth.keys
WHERE app_id = %(app_id)s
ORDER BY created_at, key_id

-- name: revoke_key
UPDATE auth.keys SET revoked_at = coalesce(revoked_at, now())
WHERE key_id = %(key_id)s
RETURNING key_id, app_id, name, requests_per_second, created_at, revoked_at
