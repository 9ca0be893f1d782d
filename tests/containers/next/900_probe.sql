ALTER TABLE auth.plans ADD COLUMN upgrade_probe text DEFAULT 'known to the next release';
