-- The read interface: what anybody may rely on. The views in it are the projector's: it makes the tables of each version
-- of `live` in a schema of their own, from the first message of the stream, and points the views at the version that
-- serves. Who sees which org is kept here, beside all versions.
CREATE SCHEMA live;

CREATE TABLE live.reader_orgs (
    role_name name             NOT NULL,
    org_id    text COLLATE "C" NOT NULL,
    PRIMARY KEY (role_name, org_id)
);
COMMENT ON TABLE live.reader_orgs IS
    'Which orgs a database role that is a member of wepeople_reader sees; a role with no line here sees none.';

-- Operators see all of it, a reader its own lines only. The row policies of every projection ask this table, also those
-- of the analysts' own: for that they need to name it, not to read it.
GRANT USAGE ON SCHEMA live TO wepeople_operator, wepeople_reader, wepeople_analyst;
GRANT SELECT ON live.reader_orgs TO wepeople_operator, wepeople_reader;

ALTER TABLE live.reader_orgs ENABLE ROW LEVEL SECURITY;
CREATE POLICY operator_sees_all ON live.reader_orgs FOR SELECT TO wepeople_operator USING (true);
CREATE POLICY reader_sees_itself ON live.reader_orgs FOR SELECT TO wepeople_reader USING (role_name = current_user);
