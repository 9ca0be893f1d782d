-- Whoever says which reader sees which org is the provisioner; the owner needs none of it, and so has no policy.
ALTER TABLE live.reader_orgs FORCE ROW LEVEL SECURITY;
