-- Each row tells its org, and a transaction sees those of the org that it acts for (`wepeople.org_id`). What happens before
-- an org is known, or for all of them, has a policy of its own, which wants to be asked for by its name.
ALTER TABLE auth.apps ADD UNIQUE (app_id, org_id);
ALTER TABLE auth.keys ADD COLUMN org_id text;
ALTER TABLE auth.app_event_types ADD COLUMN org_id text;
UPDATE auth.keys k SET org_id = a.org_id FROM auth.apps a WHERE a.app_id = k.app_id;
UPDATE auth.app_event_types t SET org_id = a.org_id FROM auth.apps a WHERE a.app_id = t.app_id;
ALTER TABLE auth.keys ADD FOREIGN KEY (app_id, org_id) REFERENCES auth.apps (app_id, org_id);
ALTER TABLE auth.app_event_types ADD FOREIGN KEY (app_id, org_id) REFERENCES auth.apps (app_id, org_id);

-- While the release before this one still runs: it knows nothing of the column.
CREATE FUNCTION auth.org_of_app() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    NEW.org_id := (SELECT a.org_id FROM auth.apps a WHERE a.app_id = NEW.app_id);
    RETURN NEW;
END $$;
CREATE TRIGGER org_of_app BEFORE INSERT ON auth.keys
    FOR EACH ROW WHEN (NEW.org_id IS NULL) EXECUTE FUNCTION auth.org_of_app();
CREATE TRIGGER org_of_app BEFORE INSERT ON auth.app_event_types
    FOR EACH ROW WHEN (NEW.org_id IS NULL) EXECUTE FUNCTION auth.org_of_app();

ALTER TABLE auth.orgs ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth.apps ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth.app_event_types ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth.keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE auth.outbox ENABLE ROW LEVEL SECURITY;

CREATE POLICY acts_for_one_org ON auth.orgs TO wepeople_auth
    USING (org_id = current_setting('wepeople.org_id', true));
CREATE POLICY acts_for_one_org ON auth.apps TO wepeople_auth
    USING (org_id = current_setting('wepeople.org_id', true));
CREATE POLICY acts_for_one_org ON auth.app_event_types TO wepeople_auth
    USING (org_id = current_setting('wepeople.org_id', true));
CREATE POLICY acts_for_one_org ON auth.keys TO wepeople_auth
    USING (org_id = current_setting('wepeople.org_id', true));
CREATE POLICY acts_for_one_org ON auth.outbox TO wepeople_auth
    USING (org_id = current_setting('wepeople.org_id', true));

-- A caller brings a key, an operator names an app: one row, which tells the org.
CREATE POLICY one_key_tells_its_org ON auth.keys FOR SELECT TO wepeople_auth
    USING (key_id = current_setting('wepeople.key_id', true));
CREATE POLICY one_app_tells_its_org ON auth.apps FOR SELECT TO wepeople_auth
    USING (app_id = current_setting('wepeople.app_id', true));

-- `wepeople org list`.
CREATE POLICY all_orgs_are_listed ON auth.orgs FOR SELECT TO wepeople_auth
    USING (current_setting('wepeople.across_orgs', true) = 'list_orgs');

-- Facts of all orgs go into the stream in one order, and are deleted then.
CREATE POLICY all_facts_are_read ON auth.outbox FOR SELECT TO wepeople_auth
    USING (current_setting('wepeople.across_orgs', true) = 'outbox');
CREATE POLICY all_facts_are_locked ON auth.outbox FOR UPDATE TO wepeople_auth
    USING (current_setting('wepeople.across_orgs', true) = 'outbox') WITH CHECK (false);
CREATE POLICY all_facts_are_deleted ON auth.outbox FOR DELETE TO wepeople_auth
    USING (current_setting('wepeople.across_orgs', true) = 'outbox');
