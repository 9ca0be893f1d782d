ALTER TABLE auth.plans ALTER COLUMN upgrade_probe SET NOT NULL;
