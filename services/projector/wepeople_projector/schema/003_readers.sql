-- Who says which reader sees which org does so by the login of this table's owner, never as superuser, and asks for it by
-- its name: what an owner has put behind its table runs with the rights of whoever writes there.
CREATE POLICY readers_are_named ON live.reader_orgs TO wepeople_projector
    USING (current_setting('wepeople.across_orgs', true) = 'readers');
