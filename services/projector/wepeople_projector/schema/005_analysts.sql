-- Analysts' projections have their own schemas; their row policies ask live.reader_orgs, as the built-in ones do.
GRANT USAGE ON SCHEMA live TO wepeople_analyst;
