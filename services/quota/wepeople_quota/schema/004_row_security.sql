-- Quota counts for all orgs at once and never acts for one in its database: the only policy is the fold's, for those
-- commands that a save and a load need, and a transaction has to ask for it by its name.
ALTER TABLE quota.usage ENABLE ROW LEVEL SECURITY;
CREATE POLICY fold_reads_all_usage ON quota.usage FOR SELECT TO wepeople_quota
    USING (current_setting('wepeople.across_orgs', true) = 'fold');
CREATE POLICY fold_adds_usage ON quota.usage FOR INSERT TO wepeople_quota
    WITH CHECK (current_setting('wepeople.across_orgs', true) = 'fold');
CREATE POLICY fold_changes_usage ON quota.usage FOR UPDATE TO wepeople_quota
    USING (current_setting('wepeople.across_orgs', true) = 'fold');

ALTER TABLE quota.charged_ids ENABLE ROW LEVEL SECURITY;
CREATE POLICY fold_reads_all_ids ON quota.charged_ids FOR SELECT TO wepeople_quota
    USING (current_setting('wepeople.across_orgs', true) = 'fold');
CREATE POLICY fold_adds_ids ON quota.charged_ids FOR INSERT TO wepeople_quota
    WITH CHECK (current_setting('wepeople.across_orgs', true) = 'fold');
CREATE POLICY fold_forgets_ids ON quota.charged_ids FOR DELETE TO wepeople_quota
    USING (current_setting('wepeople.across_orgs', true) = 'fold');
