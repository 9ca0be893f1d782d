-- name: plan
SELECT name, max_events_per_month, key_requests_per_second, org_requests_per_second
FROM auth.plans
WHERE name = %(plan)s

-- name: plan_names
SELECT name FROM auth.plans ORDER BY name

-- name: insert_org
INSERT INTO auth.orgs (org_id, name, plan, salt)
VALUES (%(org_id)s, %(name)s, %(plan)s, %(salt)s)
RETURNING created_at

-- name: set_plan
UPDATE auth.orgs SET plan = %(plan)s WHERE org_id = %(org_id)s
RETURNING name, created_at

-- name: list_orgs
SELECT o.org_id, o.name, o.created_at,
       p.name, p.max_events_per_month, p.key_requests_per_second, p.org_requests_per_second
FROM auth.orgs o
JOIN auth.plans p ON p.name = o.plan
ORDER BY o.created_at, o.org_id

-- name: org_exists
SELECT EXISTS (SELECT FROM auth.orgs WHERE org_id = %(org_id)s)

-- name: insert_app
INSERT INTO auth.apps (app_id, org_id, slug)
VALUES (%(app_id)s, %(org_id)s, %(slug)s)
ON CONFLICT (org_id, slug) DO NOTHING
RETURNING app_id

-- name: apps
SELECT a.app_id, a.org_id, a.slug, a.connection,
       ARRAY(SELECT t.event_type FROM auth.app_event_types t WHERE t.app_id = a.app_id ORDER BY t.event_type)
           AS allowed_event_types,
       a.created_at
FROM auth.apps a
WHERE a.org_id = %(org_id)s OR a.app_id = %(app_id)s
ORDER BY a.created_at, a.app_id

-- name: lock_app
SELECT FROM auth.apps WHERE app_id = %(app_id)s FOR UPDATE

-- name: allow
INSERT INTO auth.app_event_types (app_id, org_id, event_type)
SELECT app_id, org_id, unnest(%(event_types)s::text[]) FROM auth.apps WHERE app_id = %(app_id)s
ON CONFLICT DO NOTHING
