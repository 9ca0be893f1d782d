-- Who sees what. The owner (the projector) is under no policy; operators see all; a reader sees the orgs that
-- live.reader_orgs gives it, and that table shows each reader its own lines only.
GRANT USAGE ON SCHEMA live, live_v1 TO wepeople_operator, wepeople_reader;

GRANT SELECT ON live.workers, live.timeline, live.latest_snapshots, live.reader_orgs TO wepeople_operator, wepeople_reader;
GRANT SELECT ON live_v1.workers, live_v1.identifiers, live_v1.identity_conflicts, live_v1.timeline,
                live_v1.latest_snapshots TO wepeople_operator, wepeople_reader;
GRANT SELECT ON live_v1.checkpoint, live_v1.parked TO wepeople_operator;
GRANT SELECT (org_id, name, founded_at) ON live_v1.orgs TO wepeople_operator;

ALTER TABLE live.reader_orgs ENABLE ROW LEVEL SECURITY;
CREATE POLICY operator_sees_all ON live.reader_orgs FOR SELECT TO wepeople_operator USING (true);
CREATE POLICY reader_sees_itself ON live.reader_orgs FOR SELECT TO wepeople_reader USING (role_name = current_user);

DO $$
DECLARE
    org_table text;
BEGIN
    FOREACH org_table IN ARRAY ARRAY['workers', 'identifiers', 'identity_conflicts', 'timeline', 'latest_snapshots']
    LOOP
        EXECUTE format('ALTER TABLE live_v1.%I ENABLE ROW LEVEL SECURITY', org_table);
        EXECUTE format('CREATE POLICY operator_sees_all ON live_v1.%I FOR SELECT TO wepeople_operator USING (true)', org_table);
        EXECUTE format(
            'CREATE POLICY reader_sees_its_orgs ON live_v1.%I FOR SELECT TO wepeople_reader USING '
            '(org_id = ANY (ARRAY(SELECT r.org_id FROM live.reader_orgs r WHERE r.role_name = current_user)))', org_table);
    END LOOP;
END
$$;
