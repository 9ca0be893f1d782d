-- Who sees and writes which org's rows, for every table of {schema} whose rows are of orgs. What is done stays.
DO $$
DECLARE
    found record;
    target text;
BEGIN
    FOR found IN
        SELECT c.oid, c.relname AS name,
               CASE c.relname WHEN 'parked_messages' THEN 'split_part(subject, ''.'', 3)' ELSE 'org_id' END AS org
        FROM pg_class c
        WHERE c.relnamespace = '{schema}'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relforcerowsecurity
          AND c.relname NOT LIKE 'Door of %'
          AND (c.relname = 'parked_messages'
               OR EXISTS (SELECT FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'org_id'))
    LOOP
        target := format('{schema}.%I', found.name);
        EXECUTE format('ALTER TABLE %s ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', target);
        EXECUTE format('DROP POLICY IF EXISTS operator_sees_all ON %s', target);
        EXECUTE format('DROP POLICY IF EXISTS reader_sees_its_orgs ON %s', target);

        -- The owner folds the whole stream, unless a transaction of it acts for one org.
        EXECUTE format('CREATE POLICY owner_folds_all_orgs ON %s TO CURRENT_USER '
                       'USING (coalesce(current_setting(''wepeople.org_id'', true), '''') IN ('''', %s))',
                       target, found.org);
        EXECUTE format('CREATE POLICY operator_sees_all ON %s FOR SELECT TO wepeople_operator USING (true)', target);
        EXECUTE format('CREATE POLICY reader_sees_its_orgs ON %s FOR SELECT TO wepeople_reader USING (%s = ANY (ARRAY('
                       'SELECT r.org_id FROM live.reader_orgs r WHERE r.role_name = current_user)))',
                       target, found.org);

        -- Postgres refuses COPY into a table whose policies hold for whoever copies. So it goes through a door: a
        -- table without rows of its own, by which its owner can put rows into this one, and nobody can read any.
        -- A month of a table, whose name has a space as no table's has, is reached through the table and its door.
        IF found.name NOT IN ('orgs', 'commits', 'parked', 'parked_messages') AND found.name NOT LIKE '% %' THEN
            EXECUTE format('CREATE TABLE {schema}.%I (LIKE %s) PARTITION BY LIST (org_id)',
                           'Door of ' || found.name, target);
            EXECUTE format('ALTER TABLE {schema}.%I ATTACH PARTITION %s DEFAULT', 'Door of ' || found.name, target);
            EXECUTE format('REVOKE ALL ON {schema}.%I FROM CURRENT_USER', 'Door of ' || found.name);
            EXECUTE format('GRANT INSERT ON {schema}.%I TO CURRENT_USER', 'Door of ' || found.name);
        END IF;
    END LOOP;
END $$
