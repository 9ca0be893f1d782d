-- From here on the policies hold for the owner of the tables too.
ALTER TABLE quota.usage FORCE ROW LEVEL SECURITY;
ALTER TABLE quota.charged_ids FORCE ROW LEVEL SECURITY;
